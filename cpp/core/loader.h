// From a plan, which is the same on every machine, to the program that runs best on this one. A plan says how values and
// weights are stored; where they lie in planes, the kernels' costs decide whether layers count bits, or whether planes become
// bytes here, for dot products. Values that pass from one step to another lie alike.
#pragma once

#include <optional>
#include <set>

#include "builder.h"
#include "byte_form.h"

namespace lowbit {

// Products of planes, bits of inputs times bits of weights, up to which a layer counts bits.
class PlanePairs final {
 public:
  // By the costs of these kernels.
  explicit PlanePairs(const KernelSet& kernels);
  explicit PlanePairs(std::size_t forced)
      : fully_connected_(static_cast<double>(forced)), convolution_(static_cast<double>(forced)), forced_(true) {}

  bool exceeded(const steps::PlaneFullyConnected& layer, std::size_t input_planes) const;
  bool exceeded(const steps::PlaneConvolution& layer, std::size_t input_planes) const;

 private:
  double fully_connected_, convolution_;
  bool forced_ = false;
};

class Loader final {
 public:
  // As a Builder. `pairs`: what is chosen whatever the kernels cost.
  Loader(std::vector<std::size_t> features, const std::string& level, std::size_t allowed = std::numeric_limits<std::size_t>::max(),
         std::optional<std::size_t> pairs = {});

  // Adds a step of a plan, whose arrays must live until `finish`: its result has the next number, after the inputs. `value` names it, and
  // `why` says why the plan has this step.
  void add(Sources sources, const steps::Any& step, std::string value, std::string why);

  void take(std::size_t bytes);

  std::unique_ptr<Program> finish(const std::vector<std::size_t>& outputs, std::size_t threads, bool pinned = false);

 private:
  struct Planned {
    Sources sources;
    steps::Any step;
    std::string value, why;
  };
  // Values that lie alike: all in planes, or all in bytes.
  struct Group {
    std::vector<std::int32_t> factors;  // of its levels, as layers that read it say
    bool fixed = false;                 // in planes, whatever reads it
    bool dear = false;                  // a layer would rather have bytes
  };
  class Pass;

  std::vector<std::size_t> features_;
  std::size_t allowed_, taken_ = 0;
  std::string level_;
  PlanePairs pairs_;
  std::vector<Planned> planned_;
};

}  // namespace lowbit
