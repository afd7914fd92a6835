// The face of a Verilator class on a CXXRTL design, so that one harness drives both.
#pragma once
#include <cstdint>
#include <type_traits>

#include "design.cc"
#include "verilated.h"

struct Vdesign {
  uint8_t ap_clk = 0, ap_rst_n = 0, s_axis_0_tdata = 0, s_axis_0_tvalid = 0, s_axis_0_tlast = 0;
  uint8_t s_axis_0_tready = 0, m_axis_0_tvalid = 0, m_axis_0_tlast = 0, m_axis_0_tready = 0;
  std::conditional_t<decltype(cxxrtl_design::DESIGN::p_m__axis__0__tdata)::bits <= 32, uint32_t, uint64_t>
      m_axis_0_tdata = 0;

  explicit Vdesign(VerilatedContext*) {}

  void eval() {
    design.p_ap__clk.set<uint8_t>(ap_clk);
    design.p_ap__rst__n.set<uint8_t>(ap_rst_n);
    design.p_s__axis__0__tdata.set<uint8_t>(s_axis_0_tdata);
    design.p_s__axis__0__tvalid.set<uint8_t>(s_axis_0_tvalid);
    design.p_s__axis__0__tlast.set<uint8_t>(s_axis_0_tlast);
    design.p_m__axis__0__tready.set<uint8_t>(m_axis_0_tready);
    design.step();
    s_axis_0_tready = design.p_s__axis__0__tready.get<uint8_t>();
    m_axis_0_tvalid = design.p_m__axis__0__tvalid.get<uint8_t>();
    m_axis_0_tlast = design.p_m__axis__0__tlast.get<uint8_t>();
    m_axis_0_tdata = design.p_m__axis__0__tdata.get<decltype(m_axis_0_tdata)>();
  }

  void final() {}

 private:
  cxxrtl_design::DESIGN design;
};
