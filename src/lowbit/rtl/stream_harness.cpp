// Drives a design with a byte stream in and a stream of scores out, clock by clock, for ctypes.
// Compiled together with the classes that Verilator makes from the design (prefix Vdesign).
#include <cstdint>
#include <memory>
#include <type_traits>
#include <vector>

#include "Vdesign.h"
#include "verilated.h"
#if VM_TRACE
#include "verilated_vcd_c.h"
#endif

namespace {

struct Random {  // xorshift64*
  uint64_t state;
  bool happens(double probability) {
    state ^= state >> 12, state ^= state << 25, state ^= state >> 27;
    return double((state * 0x2545F4914F6CDD1DULL) >> 11) * 0x1p-53 < probability;
  }
};

// Ports of up to 64 bits are integers, wider ones have words of 32 bits.
template <typename Port>
void put(Port& port, const uint8_t* bytes, int64_t count) {
  if constexpr (std::is_integral_v<Port>) {
    port = 0;
    for (int64_t i = 0; i < count; ++i) port |= Port(Port(bytes[i]) << 8 * i);
  } else {
    for (int64_t i = 0; i < (count + 3) / 4; ++i) port[i] = 0;
    for (int64_t i = 0; i < count; ++i) port[i / 4] |= uint32_t(bytes[i]) << 8 * (i % 4);
  }
}

template <typename Port>
int64_t word(const Port& port, int64_t index, int64_t words) {
  if constexpr (!std::is_integral_v<Port>) return int32_t(port[index]);
  else if (words == 1) return std::make_signed_t<Port>(port);
  else return int32_t(uint64_t(port) >> 32 * index);
}

}  // namespace

extern "C" {

struct Request {
  const uint8_t* pixels;
  int64_t pixel_count, pixels_per_picture;
  int64_t beats_wanted;
  double gap, stall;     // probability, per clock, that no pixel is offered and that no score is taken
  uint64_t seed;
  int64_t reset_after;   // pixels, after which it is reset and everything starts again; -1 for never
  int64_t most_cycles;
  int64_t pictures_per_packet;
  int64_t beat_pixels, beat_words;  // of a beat that goes in, and out; words of 32 bits where there are several
  double cut;            // probability, per packet, that a packet of a piece of its first picture comes before it
  const char* waveform;  // a VCD file, or null
};

struct Answer {
  int64_t* beats;
  uint8_t* lasts;
  int64_t* cycles;     // when each beat was taken
  int64_t* started;    // when the first pixel of each picture was taken
  int64_t beat_count, cycle_count;
};

int run(const Request* request, Answer* answer) {
  const auto context = std::make_unique<VerilatedContext>();
  const auto design = std::make_unique<Vdesign>(context.get());
#if VM_TRACE
  VerilatedVcdC waveform;
  if (request->waveform) {
    context->traceEverOn(true);
    design->trace(&waveform, 99);
    waveform.open(request->waveform);
  }
#endif
  const std::vector<uint8_t> nothing(request->beat_pixels, 0xAA);
  const int64_t packet = request->pixels_per_picture * request->pictures_per_packet;
  Random random{request->seed * 2 + 1};
  int64_t at = 0, beats = 0, cycle = 0, reset = 4, reset_after = request->reset_after;
  int64_t piece = 0, piece_at = 0;  // bytes of a piece of a picture that is sent before it, and how many went
  bool offered = false, pieced = false;  // whether it was decided for this packet
  const auto half_clock = [&](int level) {
    design->ap_clk = level;
    design->eval();
#if VM_TRACE
    if (request->waveform) waveform.dump(uint64_t(2 * cycle + level));
#endif
  };
  for (; cycle < request->most_cycles && beats < request->beats_wanted; ++cycle) {
    design->ap_rst_n = reset == 0;
    // A stream that offers something keeps offering it until it is taken.
    const bool offers = !offered && at < request->pixel_count && !random.happens(request->gap);
    if (offers && piece == 0 && at % packet == 0 && !pieced && random.happens(request->cut)) {
      piece = 1 + int64_t(random.state % uint64_t(request->pixels_per_picture - 1)), piece_at = 0;
    }
    pieced = pieced || (offers && at % packet == 0);
    offered = offered || offers;
    design->s_axis_0_tvalid = offered && reset == 0;
    put(design->s_axis_0_tdata, offered ? request->pixels + at + piece_at : nothing.data(), request->beat_pixels);
    design->s_axis_0_tlast =
        offered && (piece ? piece_at + 1 == piece : (at + request->beat_pixels) % packet == 0);
    design->m_axis_0_tready = !random.happens(request->stall);
    half_clock(0);
    const bool taken = design->s_axis_0_tvalid && design->s_axis_0_tready;
    const bool given = reset == 0 && design->m_axis_0_tvalid && design->m_axis_0_tready;
    if (given) {
      for (int64_t i = 0; i < request->beat_words; ++i) {
        answer->beats[beats] = word(design->m_axis_0_tdata, i, request->beat_words);
        answer->lasts[beats] = design->m_axis_0_tlast && i + 1 == request->beat_words;
        answer->cycles[beats++] = cycle;
      }
    }
    if (taken && piece) {
      offered = false;
      if (++piece_at == piece) piece = piece_at = 0;
    } else if (taken) {
      if (at % request->pixels_per_picture == 0) answer->started[at / request->pixels_per_picture] = cycle;
      at += request->beat_pixels, offered = pieced = false;
    }
    half_clock(1);
    if (reset > 0) --reset;
    if (reset_after >= 0 && at >= reset_after) at = beats = piece = piece_at = 0, reset = 3, reset_after = -1, offered = pieced = false;
  }
#if VM_TRACE
  if (request->waveform) waveform.close();
#endif
  design->final();
  answer->beat_count = beats, answer->cycle_count = cycle;
  return beats == request->beats_wanted ? 0 : 1;
}

}  // extern "C"
