#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>

namespace wspool::transport {

/// Threads for what may take its time and cannot be interrupted. They are made when they are
/// needed, and end when there was nothing to do for a while.
///
/// Thread safety: any thread.
class background {
public:
    /// Told whether it may block; if not, there is no thread for it.
    using work_t = std::function<void(bool may_block)>;
    /// Each has threads of its own: what hangs for one does not hold up the other.
    enum class purpose_e { LOOK_UPS, USER_CODE };

    static constexpr unsigned most_threads = 16;

    /// The process's own; after fork() the child has fresh ones. Never destroyed: a thread may be
    /// inside something when the process ends.
    static background& of_process(purpose_e purpose);

    /// Runs `work` some time; what it throws ends the process. Where there is no thread, and none
    /// can be made, at once.
    void submit(work_t work);

private:
    void run();

    std::mutex mutex_;
    std::condition_variable there_is_work_;
    std::deque<work_t> work_;  // all guarded by mutex_
    unsigned threads_ = 0;
    std::size_t idle_ = 0;
};

}  // namespace wspool::transport
