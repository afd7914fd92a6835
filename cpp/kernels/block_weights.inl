// Included inside an anonymous namespace, behind kernel.h, so that each level keeps its own copy for its own instruction set.

// Of a layer of planes: where the weights of a group start, and how many words of 32 bits the groups of its block have side by side.
struct BlockWeights {
  const std::uint32_t* at;
  std::size_t width;

  BlockWeights(const PlaneLayer& layer, std::size_t group) {
    const std::size_t first = group / kBlock * kBlock, left = layer.groups - first;
    width = (left < kBlock ? left : kBlock) * kGroup;
    at = static_cast<const std::uint32_t*>(layer.weights) + first * kGroup * layer.words * layer.weight_planes +
         (group - first) * kGroup;
  }
};
