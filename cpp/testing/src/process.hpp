#pragma once

#ifndef _WIN32
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <csignal>
#endif

namespace wspool::testing {

/// What little of the operating system Asio doesn't cover. Windows has no fork and no signals
/// between processes, so there it is empty.
#ifndef _WIN32

using process_id = pid_t;
inline process_id current_process() noexcept { return ::getpid(); }

/// A child that a test starts must not keep a socket open.
inline void close_on_exec(int descriptor) noexcept { ::fcntl(descriptor, F_SETFD, FD_CLOEXEC); }

/// While it lives, threads that the current thread starts begin with all signals blocked.
class all_signals_blocked {
public:
    all_signals_blocked() noexcept {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    ~all_signals_blocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
    all_signals_blocked(const all_signals_blocked&) = delete;
    all_signals_blocked& operator=(const all_signals_blocked&) = delete;

private:
    sigset_t before_{};
};

#else

using process_id = int;
inline process_id current_process() noexcept { return 0; }
template <typename Descriptor>
void close_on_exec(Descriptor /*descriptor*/) noexcept {}
struct all_signals_blocked {
    all_signals_blocked() noexcept {}
};

#endif

}  // namespace wspool::testing
