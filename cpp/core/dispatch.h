// Which kernels run here: the best of each operation, up to a level.
#pragma once

#include <string>
#include <vector>

#include "kernel.h"
#include "paths.h"

namespace lowbit {

struct CpuFeature {
  std::string name;  // as the compiler has it
  bool available;
  bool refused = false;  // by the system, which has to be asked
};

struct LevelNeeds {
  std::string name;
  std::vector<std::string> missing;  // features that it needs and this machine lacks: none where it may run
  bool refused = false;              // by the system, though the machine has them
};

// All levels of this build, plainest first.
std::vector<LevelNeeds> level_needs();

// Every feature that some level needs.
std::vector<CpuFeature> cpu_features();

template <class Function>
struct Kernel {
  const char* level = nullptr;
  Function* run = nullptr;
  bool quick = false;  // it takes quick endings
};

template <class Function>
struct PlaneKernel : Kernel<Function> {
  unsigned word_bits = 0;
  std::size_t lanes = 0;
  bool pairs = false;
};

template <class Function>
struct TableKernel : Kernel<Function> {
  std::size_t planes = 0;
};

struct KernelSet {
  Paths paths;  // of these kernels

  // Whether a layer of bytes with so many channels goes by tiles. A single group does not pay for what gathering its inputs takes.
  bool takes_tiles(const Products& products, std::size_t channels) const {
    return channels > kGroup && paths.best(Form::bytes, products) == Path::tiles;
  }

  Kernel<holds_nan_kernel> holds_nan;
  Kernel<encode_kernel> encode;
  Kernel<encode_affine_kernel> encode_affine;
  Kernel<round_words_kernel> round_words;
  Kernel<add_words_kernel> add_words;
  Kernel<average_words_kernel> average_words;
  Kernel<rank_words_kernel> rank_words;
  Kernel<line_words_kernel> line_words;
  Kernel<look_up_kernel> look_up;
  Kernel<arithmetic_kernel> arithmetic;
  Kernel<clip_kernel> clip;
  Kernel<apply_function_kernel> apply_function;
  Kernel<reduce_kernel> reduce;
  Kernel<softmax_kernel> softmax;
  PlaneKernel<plane_fully_connected_kernel> plane_fully_connected;
  Kernel<byte_fully_connected_kernel> byte_fully_connected;
  Kernel<tile_fully_connected_kernel> tile_fully_connected;
  Kernel<tile_inputs_kernel> tile_inputs;
  Kernel<tile_planes_kernel> tile_planes;
  Kernel<byte_code_fully_connected_kernel> byte_code_fully_connected;  // of few levels alone
  Kernel<word_fully_connected_kernel> word_fully_connected;
  Kernel<float_fully_connected_kernel> float_fully_connected;
  TableKernel<weight_only_fully_connected_kernel> weight_only_fully_connected;
  Kernel<weight_code_fully_connected_kernel> weight_code_fully_connected;  // of few levels alone
  Kernel<weight_group_fully_connected_kernel> weight_group_fully_connected;
  PlaneKernel<plane_convolution_kernel> plane_convolution;
  Kernel<byte_convolution_kernel> byte_convolution;
  Kernel<tile_convolution_kernel> tile_convolution;
  Kernel<byte_depthwise_kernel> byte_depthwise;
  Kernel<word_convolution_kernel> word_convolution;
  Kernel<float_convolution_kernel> float_convolution;
  Kernel<float_depthwise_kernel> float_depthwise;
};

// Levels that this machine can run, plainest first.
std::vector<std::string> available_levels();

// The best kernels up to `level`; an empty name means LOWBIT_KERNELS, or the best there is.
// `path` is the one that layers of low bits take where they can; empty: the cheapest of each.
// Throws Error for a level or a path that is unknown or that this machine cannot run.
KernelSet select_kernels(std::string level, const std::string& path = {});

}  // namespace lowbit
