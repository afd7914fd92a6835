// From a plan, which is the same on every machine, to the program that runs best on this one. A plan says how values and
// weights are stored; where they lie in planes, the table of paths decides whether layers count bits, or whether planes become
// bytes here, for dot products. Values that pass from one step to another lie alike.
#pragma once

#include <set>

#include "builder.h"
#include "byte_form.h"

namespace lowbit {

class Loader final {
 public:
  // As a Builder.
  Loader(std::vector<std::size_t> features, const std::string& level, std::size_t allowed = std::numeric_limits<std::size_t>::max(),
         const std::string& path = {});

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
  std::string level_, path_;
  std::vector<Planned> planned_;
};

}  // namespace lowbit
