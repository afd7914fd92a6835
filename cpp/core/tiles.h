// Intel's tiles: a processor that has them may use them in processes that the system has allowed it.
#pragma once

namespace lowbit {

// Whether the processor has tiles of bytes, as large as kernels take them, and the system keeps their state.
bool has_tiles();

// Whether the system lets this process use them. It is asked once, when this is called first; where there are none it is not.
bool may_use_tiles();

}  // namespace lowbit
