// The face of a Verilator class on a CXXRTL design, so that one harness drives both.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <type_traits>

#include "design.cc"
#include "verilated.h"

// A port as Verilator has it: an integer, or words of 32 bits where it is wider than 64.
template <size_t Bits>
using Port = std::conditional_t<(Bits <= 8), uint8_t,
                                std::conditional_t<(Bits <= 32), uint32_t,
                                                   std::conditional_t<(Bits <= 64), uint64_t,
                                                                      std::array<uint32_t, (Bits + 31) / 32>>>>;

template <size_t Bits>
const cxxrtl::value<Bits>& now(const cxxrtl::value<Bits>& port) { return port; }
template <size_t Bits>
const cxxrtl::value<Bits>& now(const cxxrtl::wire<Bits>& port) { return port.curr; }

template <size_t Bits>
void store(cxxrtl::value<Bits>& port, const Port<Bits>& from) {
  if constexpr (Bits <= 64) port.template set<Port<Bits>>(from);
  else std::copy(from.begin(), from.end(), port.data);
}

template <size_t Bits>
void load(const cxxrtl::value<Bits>& port, Port<Bits>& to) {
  if constexpr (Bits <= 64) to = port.template get<Port<Bits>>();
  else std::copy_n(port.data, to.size(), to.begin());
}

struct Vdesign {
  using Input = decltype(cxxrtl_design::DESIGN::p_s__axis__0__tdata);
  using Output = decltype(cxxrtl_design::DESIGN::p_m__axis__0__tdata);
  Port<Input::bits> s_axis_0_tdata{};
  Port<Output::bits> m_axis_0_tdata{};
  uint8_t ap_clk = 0, ap_rst_n = 0, s_axis_0_tvalid = 0, s_axis_0_tlast = 0;
  uint8_t s_axis_0_tready = 0, m_axis_0_tvalid = 0, m_axis_0_tlast = 0, m_axis_0_tready = 0;

  explicit Vdesign(VerilatedContext*) {}

  void eval() {
    design.p_ap__clk.set<uint8_t>(ap_clk);
    design.p_ap__rst__n.set<uint8_t>(ap_rst_n);
    store(design.p_s__axis__0__tdata, s_axis_0_tdata);
    design.p_s__axis__0__tvalid.set<uint8_t>(s_axis_0_tvalid);
    design.p_s__axis__0__tlast.set<uint8_t>(s_axis_0_tlast);
    design.p_m__axis__0__tready.set<uint8_t>(m_axis_0_tready);
    design.step();
    s_axis_0_tready = design.p_s__axis__0__tready.get<uint8_t>();
    m_axis_0_tvalid = design.p_m__axis__0__tvalid.get<uint8_t>();
    m_axis_0_tlast = design.p_m__axis__0__tlast.get<uint8_t>();
    load(now(design.p_m__axis__0__tdata), m_axis_0_tdata);
  }

  void final() {}

 private:
  cxxrtl_design::DESIGN design;
};
