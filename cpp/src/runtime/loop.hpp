#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include <asio.hpp>

#include "runtime/block_pool.hpp"
#include "runtime/delivery.hpp"

namespace wspool::runtime {

/// An endpoint's event loop: two threads, two roles.
///
/// One thread runs the loop and, between two turns, delivers to user code what the turn brought:
/// no hand-over, no lock. The other stands by. If a delivery does not return for
/// `stall_threshold`, the thread standing by takes the loop over; the stalled one keeps the role
/// of delivering, is handed what arrives as copies, and stands by itself when it has caught up.
/// So sockets, timers and pings never wait for user code, and an undisturbed delivery costs two
/// atomic operations.
///
/// All state of the endpoint's connections belongs to whoever runs the loop.
class loop : public std::enable_shared_from_this<loop> {
public:
    static constexpr std::chrono::milliseconds stall_threshold{20};
    static constexpr std::size_t plain_buffer_size = block_pool::block_size;
    static constexpr std::size_t cipher_buffer_size = 256 * 1024;

    loop();
    ~loop();
    loop(const loop&) = delete;
    loop& operator=(const loop&) = delete;

    void start();
    /// Ends the loop; waits up to `timeout` for both threads. False if one is still in user
    /// code (it ends when that returns) or if this is one of them.
    bool stop(std::chrono::nanoseconds timeout);

    [[nodiscard]] asio::io_context& io() { return io_; }

    /// Runs `work` on the loop, later; drops it once the loop has ended. Any thread.
    template <typename Work>
    void post(Work&& work) {
        if (!wound_up_.load(std::memory_order_acquire)) asio::post(io_, std::forward<Work>(work));
    }

    /// True if the calling thread runs the loop and is not in user code: it owns the state.
    [[nodiscard]] bool owns() const;
    /// True on a thread that delivers to user code for this loop.
    [[nodiscard]] bool delivering() const;
    /// True on either thread of this loop.
    [[nodiscard]] bool on_own_thread() const;

    /// From user code on the loop's own thread: takes the loop's state back for a moment, if it
    /// has not been taken over. At most once a delivery, so that later work is gathered.
    /// Returns false, or true and then `leave()` must follow.
    bool enter_once();
    void leave();

    /// What this turn has for user code. Loop thread.
    [[nodiscard]] batch& turn() { return *current().turn; }
    /// What this turn has for the sink of the connection that is being read. Loop thread.
    [[nodiscard]] staged& for_sink() { return current().for_sink; }
    /// The read buffer of the thread that runs the loop, `plain_buffer_size` bytes, for one read a
    /// turn: what `turn()` refers to lies in it until the turn's end.
    [[nodiscard]] char* plain_buffer() { return plain_block()->bytes.get(); }
    /// The block that it is.
    [[nodiscard]] const std::shared_ptr<message_block_t>& plain_block() {
        worker& me = current();
        if (!me.plain) me.plain = blocks_->take();
        return me.plain;
    }
    /// Somebody keeps the read buffer: the next turn gets another.
    void leave_plain_block() { current().plain.reset(); }
    /// For ciphertext, `cipher_buffer_size` bytes.
    [[nodiscard]] char* cipher_buffer();

private:
    struct worker {
        loop* owner = nullptr;
        bool runs_loop = false;
        bool in_user_code = false;
        bool entered = false;      // enter_once was used up in this delivery
        std::int64_t since = 0;    // of the delivery under way, 0: none
        std::int64_t ended = 0;    // of the one before, when
        std::int64_t carried = 0;  // of long ones before it
        std::unique_ptr<batch> turn = std::make_unique<batch>();
        std::unique_ptr<batch> running = std::make_unique<batch>();
        staged for_sink;
        std::shared_ptr<message_block_t> plain;
        std::unique_ptr<char[]> cipher;
    };

    static worker*& this_worker();
    worker& current() const { return *this_worker(); }
    void thread_main();
    void stand_by(std::unique_lock<std::mutex>& lock);
    void run(worker& me);
    bool deliver(worker& me);
    void put_aside(worker& me, bool first);
    void drain_backlog(worker& me);
    void run_batch(worker& me, batch& work);
    void wind_up(worker& me);

    const std::shared_ptr<block_pool> blocks_ = std::make_shared<block_pool>();
    asio::io_context io_;
    asio::executor_work_guard<asio::io_context::executor_type> work_;

    // Positive: delivering since that moment. The rest are states.
    static constexpr std::int64_t on_loop = 0;
    static constexpr std::int64_t entered = -1;
    static constexpr std::int64_t taken_over = -2;
    std::atomic<std::int64_t> phase_{on_loop};
    std::atomic<bool> watching_{false};   // the standby looks at phase_ every few milliseconds
    std::atomic<bool> overtaken_{false};  // the delivering thread is not the loop's; see mutex_
    std::atomic<bool> stopping_{false};
    std::atomic<bool> wound_up_{false};

    std::mutex mutex_;
    std::condition_variable changed_;
    bool loop_is_run_ = false;       // guarded by mutex_
    std::deque<batch> backlog_;      // guarded by mutex_
    std::size_t threads_alive_ = 0;  // guarded by mutex_
    std::vector<std::thread> threads_;
};

/// Nanoseconds on the steady clock; never 0.
std::int64_t steady_now();
/// Unix time in nanoseconds.
std::int64_t unix_now();

}  // namespace wspool::runtime
