#include "wspool/detail/random_source.hpp"

#include <stdexcept>

#include <openssl/rand.h>

#include "process.hpp"

namespace wspool::detail {

unsigned random_source::fork_generation() noexcept { return process_generation(); }

void random_source::refill() {
    generation_ = fork_generation();
    if (RAND_bytes(reinterpret_cast<unsigned char*>(pool_.data()), sizeof pool_) != 1) {
        throw std::runtime_error("the system's random number generator failed");
    }
    next_ = 0;
}

random_source& random_source::This_thread() {
    thread_local random_source source;
    return source;
}

}  // namespace wspool::detail
