#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "runtime/callback_gate.hpp"
#include "runtime/delivery.hpp"
#include "runtime/loop.hpp"
#include "wspool/listener.hpp"
#include "wspool/metadata.hpp"
#include "wspool/options.hpp"
#include "wspool/sink.hpp"

namespace wspool::detail {

class endpoint_core;

/// Who gets what happens on a connection: one of the two.
struct consumer_t {
    std::shared_ptr<listener_c> listener;  ///< user code, called by the thread that delivers
    std::shared_ptr<sink_c> sink;          ///< native, called right at the read
};

inline error_ptr make_error(error_e code, std::string message) {
    return std::make_unique<error_c>(code, std::move(message));
}

/// What is behind every handle: one connection, or a feed of several. What both have in common: who
/// they are, the way to user code and what has been set aside on it, and the end.
///
/// Who owns what:
/// - the loop's thread: the sink; and the listener, which the delivering thread calls;
/// - state_mutex_: what is kept for questions from other threads, and letting go of the sink, which
///   they ask for what it has dropped;
/// - atomics: status, the backlog of a stalled listener.
class connection_base : public metadata_c, public runtime::consumer {
public:
    // metadata_c; any thread
    [[nodiscard]] int Get_id() const noexcept final { return id_; }
    [[nodiscard]] const std::string& Get_uri() const noexcept final { return uri_text_; }
    [[nodiscard]] status_e Get_status() const noexcept final { return status_.load(); }
    [[nodiscard]] std::shared_ptr<const error_c> Get_error() const final;
    bool Wait_closed(std::optional<std::chrono::nanoseconds> timeout) final;
    void Disable_callbacks() final;
    [[nodiscard]] bool Callbacks_disabled() const noexcept final { return gate_.is_shut(); }

    /// websocketpp's handle, for the callbacks of the C++ API. Delivering thread.
    [[nodiscard]] virtual websocketpp::connection_hdl handle() const = 0;
    /// Counts an exception of user code and hands it to the listener. Delivering thread.
    void report(std::exception_ptr exception) noexcept;

    // runtime::consumer
    void deliver(const message_view_t* messages, std::size_t count) noexcept final;
    void caught_up(std::size_t messages, std::size_t bytes) final;

protected:
    connection_base(std::shared_ptr<endpoint_core> core, int id, std::string uri_text,
                    options_t options, consumer_t consumer);
    ~connection_base() override;

    [[nodiscard]] bool in_other_process() const;
    static error_ptr wrong_process();
    /// Why nothing can be sent now. `connecting` says it for a connection that may yet be open.
    [[nodiscard]] error_ptr not_open(const char* connecting) const;

    /// Calls user code; an exception is reported.
    template <typename Call>
    void guarded(Call&& call) noexcept {
        gate_.pass(std::forward<Call>(call), [this] { report(std::current_exception()); });
    }
    /// `since_ns`: when the first of them came (Unix time).
    void add_to_backlog(std::size_t messages, std::size_t bytes, std::int64_t since_ns);
    [[nodiscard]] bool is_backlog_full() const;
    /// Adds what was counted here: the backlog, exceptions, and what the sink has dropped.
    void add_own_counts(statistics_t& statistics) const;
    /// After the last callback; on the delivering thread, with a sink on the loop's.
    void conclude();

    const std::shared_ptr<endpoint_core> core_;
    const std::shared_ptr<runtime::loop> loop_;
    const std::string uri_text_;  // as the user gave it, without credentials
    const options_t options_;
    const bool has_sink_;
    std::shared_ptr<listener_c> listener_;
    std::shared_ptr<sink_c> sink_;
    std::atomic<status_e> status_{status_e::CONNECTING};

    mutable std::mutex state_mutex_;
    std::shared_ptr<const error_c> error_;  // guarded by state_mutex_

private:
    const int id_;
    const unsigned process_;
    runtime::callback_gate gate_;
    bool ended_ = false;  // the last callback has returned; guarded by state_mutex_
    std::condition_variable ended_changed_;
    std::atomic<std::uint64_t> callback_errors_{0};
    std::uint64_t dropped_ = 0;  // by the sink that was; guarded by state_mutex_
    // Set aside for a stalled listener
    std::atomic<std::size_t> aside_messages_{0};
    std::atomic<std::size_t> aside_bytes_{0};
    std::atomic<std::int64_t> aside_since_ns_{0};  // Unix time; of the oldest, about
};

}  // namespace wspool::detail
