#pragma once

namespace wspool {

/// Grows by one in the child at each fork(): what carries another number belongs to a parent
/// process, whose threads do not exist here. Costs a load, where getpid() costs a system call.
unsigned process_generation() noexcept;

}  // namespace wspool
