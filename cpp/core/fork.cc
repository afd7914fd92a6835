#include "fork.h"

#include <atomic>
#include <memory>
#include <set>

#include <pthread.h>

namespace lowbit {
namespace {

std::atomic<unsigned> count{0};

}  // namespace

// Never destroyed: threads may still run when the process ends.
struct ForkRegistry {
  std::mutex mutex;  // held over a fork, so that the child finds `members` whole
  std::set<ForkMutex*> members;

  static ForkRegistry& one() {
    static ForkRegistry* const registry = [] {
      auto* made = new ForkRegistry;
      pthread_atfork([] { one().mutex.lock(); }, [] { one().mutex.unlock(); }, [] { one().in_child(); });
      return made;
    }();
    return *registry;
  }

  void in_child() {
    count.fetch_add(1);
    for (ForkMutex* member : members) std::construct_at(&member->mutex_);
    mutex.unlock();
  }
};

unsigned forks() { return count.load(std::memory_order_relaxed); }

ForkMutex::ForkMutex() {
  ForkRegistry& registry = ForkRegistry::one();
  const std::lock_guard guard(registry.mutex);
  registry.members.insert(this);
}

ForkMutex::~ForkMutex() {
  ForkRegistry& registry = ForkRegistry::one();
  const std::lock_guard guard(registry.mutex);
  registry.members.erase(this);
}

}  // namespace lowbit
