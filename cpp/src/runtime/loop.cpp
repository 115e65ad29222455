#include "runtime/loop.hpp"

#include <algorithm>

namespace wspool::runtime {

namespace {

using namespace std::chrono_literals;

constexpr auto watch_interval = 10ms;
// The standby sleeps deeply, and must be woken, after this long without a delivery.
constexpr auto watch_for = 5s;
// A delivery that takes so long has waited, for the GIL as a rule. Such waits that follow each
// other count as one stall: each may be short, and still the ping of the last connection waits for
// all.
constexpr std::int64_t long_delivery = 2'000'000;

}  // namespace

std::int64_t steady_now() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

std::int64_t unix_now() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
}

loop::loop() : work_(asio::make_work_guard(io_)) {}

loop::~loop() {
    for (std::thread& thread : threads_) {
        if (thread.joinable()) thread.detach();
    }
}

loop::worker*& loop::this_worker() {
    thread_local worker* pointer = nullptr;
    return pointer;
}

void loop::start() {
    const std::lock_guard lock(mutex_);
    threads_alive_ = 2;
    for (int i = 0; i < 2; ++i) {
        threads_.emplace_back([self = shared_from_this()] { self->thread_main(); });
    }
}

bool loop::stop(std::chrono::nanoseconds timeout) {
    std::unique_lock lock(mutex_);
    stopping_ = true;
    io_.stop();
    changed_.notify_all();
    if (on_own_thread()) return false;
    if (!changed_.wait_for(lock, timeout, [this] { return threads_alive_ == 0; })) return false;
    std::vector<std::thread> threads = std::move(threads_);
    threads_.clear();
    lock.unlock();
    for (std::thread& thread : threads) thread.join();
    return true;
}

bool loop::owns() const {
    const worker* me = this_worker();
    return me != nullptr && me->owner == this && me->runs_loop && !me->in_user_code;
}

bool loop::delivering() const {
    const worker* me = this_worker();
    return me != nullptr && me->owner == this && me->in_user_code;
}

bool loop::on_own_thread() const {
    const worker* me = this_worker();
    return me != nullptr && me->owner == this;
}

bool loop::enter_once() {
    worker* me = this_worker();
    if (me == nullptr || me->owner != this || !me->in_user_code || me->entered) return false;
    std::int64_t since = me->since;
    if (since == 0 || !phase_.compare_exchange_strong(since, entered)) return false;
    me->entered = true;
    me->in_user_code = false;
    return true;
}

void loop::leave() {
    worker& me = current();
    me.in_user_code = true;
    phase_.store(me.since);
}

char* loop::cipher_buffer() {
    worker& me = current();
    if (!me.cipher) me.cipher.reset(new char[cipher_buffer_size]);
    return me.cipher.get();
}

void loop::thread_main() {
    worker me;
    me.owner = this;
    this_worker() = &me;
    std::unique_lock lock(mutex_);
    while (!stopping_) {
        if (loop_is_run_) {
            stand_by(lock);
            continue;
        }
        loop_is_run_ = true;
        me.runs_loop = true;
        lock.unlock();
        run(me);
        me.runs_loop = false;
        lock.lock();
    }
    if (threads_alive_ == 1) {  // the last one
        lock.unlock();
        wind_up(me);
        lock.lock();
    }
    this_worker() = nullptr;
    --threads_alive_;
    changed_.notify_all();
}

/// Runs what is left on the loop: handlers of ended operations keep connections alive, and these
/// the loop. Connections that end here still get their last call.
void loop::wind_up(worker& me) {
    me.runs_loop = true;
    work_.reset();
    const auto run_rest = [&] {
        io_.restart();
        do {
            while (!me.turn->empty()) {
                std::swap(me.turn, me.running);
                run_batch(me, *me.running);
            }
        } while (io_.poll_one() != 0);
    };
    run_rest();
    wound_up_.store(true);
    run_rest();  // what came before that was seen
    me.runs_loop = false;
}

/// Watches for a stalled delivery; returns with loop_is_run_ false to take the loop over.
void loop::stand_by(std::unique_lock<std::mutex>& lock) {
    auto watch_until = std::chrono::steady_clock::now() + watch_for;
    while (!stopping_ && loop_is_run_) {
        const std::int64_t since = phase_.load(std::memory_order_acquire);
        if (since > 0) {
            const auto stalled = std::chrono::nanoseconds(steady_now() - since);
            std::int64_t expected = since;
            if (stalled >= stall_threshold &&
                phase_.compare_exchange_strong(expected, taken_over)) {
                overtaken_ = true;
                loop_is_run_ = false;
                return;
            }
            watch_until = std::chrono::steady_clock::now() + watch_for;
        }
        if (std::chrono::steady_clock::now() < watch_until) {
            watching_.store(true, std::memory_order_relaxed);
            changed_.wait_for(lock, watch_interval);
        } else {
            // The loop's thread looks at watching_ before it delivers, and wakes us then; the
            // fence pairs with the one there, so that one of us sees the other.
            watching_.store(false, std::memory_order_seq_cst);
            if (phase_.load(std::memory_order_seq_cst) == on_loop) changed_.wait(lock);
            watch_until = std::chrono::steady_clock::now() + watch_for;
        }
    }
}

void loop::run(worker& me) {
    while (!stopping_.load(std::memory_order_relaxed)) {
        io_.run_one();
        while (!me.turn->empty()) {
            if (!deliver(me)) return;
        }
    }
}

void loop::run_batch(worker& me, batch& work) {
    me.in_user_code = true;
    me.entered = false;
    work.run(!stopping_.load(std::memory_order_relaxed));
    work.clear();  // what is destroyed with it may be user code too
    me.in_user_code = false;
}

/// False if the loop was taken over meanwhile: then this thread has caught up, and stands by.
bool loop::deliver(worker& me) {
    if (overtaken_.load(std::memory_order_acquire)) {
        const std::lock_guard lock(mutex_);
        if (overtaken_) {
            put_aside(me, false);
            return true;
        }
    }
    const std::int64_t begun = steady_now();
    // What was carried over is forgotten as time goes by without a delivery.
    me.carried = std::max<std::int64_t>(0, me.carried - (begun - me.ended));
    me.since = begun - me.carried;
    phase_.store(me.since, std::memory_order_seq_cst);
    if (!watching_.load(std::memory_order_seq_cst)) {
        const std::lock_guard lock(mutex_);
        changed_.notify_all();
    }
    std::swap(me.turn, me.running);  // what comes up in user code goes into the next batch
    run_batch(me, *me.running);
    me.ended = steady_now();
    if (me.ended - begun >= long_delivery) me.carried += me.ended - begun;
    me.since = 0;
    if (phase_.exchange(on_loop, std::memory_order_acq_rel) != taken_over) return true;
    me.runs_loop = false;
    me.carried = 0;
    drain_backlog(me);
    return false;
}

/// Moves this turn's batch to the backlog of the delivering thread; mutex_ is held.
void loop::put_aside(worker& me, bool first) {
    if (me.turn->empty()) return;
    me.turn->detach();
    if (first)
        backlog_.push_front(std::move(*me.turn));
    else
        backlog_.push_back(std::move(*me.turn));
    *me.turn = batch();
}

void loop::drain_backlog(worker& me) {
    std::unique_lock lock(mutex_);
    put_aside(me, true);  // from before the loop was taken over
    while (!backlog_.empty()) {
        batch work = std::move(backlog_.front());
        backlog_.pop_front();
        lock.unlock();
        run_batch(me, work);
        lock.lock();
    }
    overtaken_ = false;
}

}  // namespace wspool::runtime
