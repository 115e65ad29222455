#include "connection_base.hpp"

#include "endpoint_core.hpp"
#include "process.hpp"

namespace wspool::detail {

connection_base::connection_base(std::shared_ptr<endpoint_core> core, int id, std::string uri_text,
                                 options_t options, consumer_t consumer)
    : core_(std::move(core)),
      loop_(core_->loop),
      uri_text_(std::move(uri_text)),
      options_(std::move(options)),
      has_sink_(consumer.sink != nullptr),
      listener_(std::move(consumer.listener)),
      sink_(std::move(consumer.sink)),
      id_(id),
      process_(process_generation()) {}

connection_base::~connection_base() = default;

bool connection_base::in_other_process() const { return process_ != process_generation(); }

error_ptr connection_base::wrong_process() {
    return make_error(error_e::WRONG_PROCESS,
                      "this connection belongs to the process before fork()");
}

error_ptr connection_base::not_open(const char* connecting) const {
    if (in_other_process()) return wrong_process();
    switch (status_.load()) {
        case status_e::OPENED:
        case status_e::CONNECTING:
            return make_error(error_e::INVALID_STATE, connecting);
        case status_e::CLOSING:
            return make_error(error_e::INVALID_STATE, "the connection is closing");
        case status_e::FAILED:
            return make_error(error_e::CLOSED, "the connection could not be opened");
        case status_e::CLOSED:
            break;
    }
    return make_error(error_e::CLOSED, "the connection is closed");
}

std::shared_ptr<const error_c> connection_base::Get_error() const {
    const std::lock_guard lock(state_mutex_);
    return error_;
}

bool connection_base::Wait_closed(std::optional<std::chrono::nanoseconds> timeout) {
    std::unique_lock lock(state_mutex_);
    const auto ended = [this] { return ended_; };
    if (in_other_process() || loop_->on_own_thread()) return ended_;
    if (timeout) return ended_changed_.wait_for(lock, *timeout, ended);
    ended_changed_.wait(lock, ended);
    return true;
}

void connection_base::Disable_callbacks() {
    gate_.shut();
    if (in_other_process() || loop_->delivering()) return;
    gate_.wait_for_return();
}

void connection_base::report(std::exception_ptr exception) noexcept {
    callback_errors_.fetch_add(1, std::memory_order_relaxed);
    if (listener_) listener_->On_error(*this, std::move(exception));
}

void connection_base::deliver(const message_view_t* messages, std::size_t count) noexcept {
    guarded([&] {
        if (!gate_.is_shut()) listener_->On_messages(*this, messages, count);
    });
}

void connection_base::add_to_backlog(std::size_t messages, std::size_t bytes,
                                     std::int64_t since_ns) {
    if (aside_messages_.fetch_add(messages) == 0) {
        aside_since_ns_.store(since_ns, std::memory_order_relaxed);
    }
    aside_bytes_.fetch_add(bytes);
}

void connection_base::caught_up(std::size_t messages, std::size_t bytes) {
    const std::size_t left_messages = aside_messages_.fetch_sub(messages) - messages;
    const std::size_t left_bytes = aside_bytes_.fetch_sub(bytes) - bytes;
    if (left_messages > options_.queue.low_messages || left_bytes > options_.queue.bytes / 4)
        return;
    Resume_reading();
}

bool connection_base::is_backlog_full() const {
    return aside_messages_.load() >= options_.queue.messages ||
           aside_bytes_.load() >= options_.queue.bytes;
}

void connection_base::add_own_counts(statistics_t& statistics) const {
    constexpr auto relaxed = std::memory_order_relaxed;
    statistics.waiting_messages += aside_messages_.load(relaxed);
    statistics.waiting_bytes += aside_bytes_.load(relaxed);
    if (statistics.waiting_messages != 0)
        statistics.waiting_since_ns = aside_since_ns_.load(relaxed);
    statistics.callback_errors += callback_errors_.load(relaxed);
    const std::lock_guard lock(state_mutex_);
    statistics.dropped += sink_ ? sink_->Dropped_messages() : dropped_;
}

void connection_base::conclude() {
    const auto keep = shared_from_this();
    if (sink_) {
        sink_->On_end();
        std::shared_ptr<sink_c> gone;  // destroyed without the lock
        const std::lock_guard lock(state_mutex_);
        dropped_ = sink_->Dropped_messages();
        gone.swap(sink_);
    }
    listener_.reset();
    core_->remove(id_);
    const std::lock_guard lock(state_mutex_);
    ended_ = true;
    ended_changed_.notify_all();
}

}  // namespace wspool::detail
