#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <asio.hpp>

#include "connection_base.hpp"
#include "feed_link.hpp"
#include "first_arrivals.hpp"
#include "session.hpp"
#include "wspool/options.hpp"

namespace wspool::detail {

/// One handle for a sequence of connections, or several: reconnection, subscriptions, replacement,
/// redundancy.
///
/// Each `feed_link` makes one connection after the other; a feed has one, or `redundancy` of them,
/// and one more while a connection is being replaced. What they receive comes together here, and
/// goes on to the one sink or listener that the user gave.
///
/// Who owns what:
/// - the loop's thread: the links, what has happened so far, what `dedup` knows;
/// - state_mutex_: what is kept for questions from other threads, and the handle for callbacks;
/// - atomics: the generation, the count of duplicates.
/// What every connection has is in the base.
/// No lock is held while user code runs.
///
/// feed_api.cpp is the part that any thread may call.
class feed final : public connection_base {
public:
    feed(std::shared_ptr<endpoint_core> core, int id, std::string uri, options_t options,
         std::shared_ptr<const tls_context_c> tls, consumer_t consumer);
    ~feed() override;

    std::shared_ptr<feed> self() { return std::static_pointer_cast<feed>(shared_from_this()); }

    // metadata_c; any thread
    error_ptr Send(std::string_view message, bool is_text,
                   std::optional<std::chrono::nanoseconds> wait) override;
    error_ptr Send_fragment(std::string_view payload, bool is_text, bool is_first, bool is_final,
                            std::optional<std::chrono::nanoseconds> wait) override;
    error_ptr Ping(std::string_view payload, on_pong_t on_pong) override;
    error_ptr Pong(std::string_view payload) override;
    error_ptr Close(std::uint16_t code, std::string_view reason) override;
    error_ptr Fail(std::uint16_t code, std::string_view reason) override;
    void Abort() override;
    void Resume_reading() override;
    std::optional<close_frame_t> Received_close() const override;
    std::optional<close_frame_t> Sent_close() const override;
    bool Received_close_first() const override;
    request_t Get_request() const override;
    response_t Get_response() const override;
    std::string Get_subprotocol() const override;
    std::pair<std::string, std::uint16_t> Get_local_address() const override;
    std::pair<std::string, std::uint16_t> Get_remote_address() const override;
    std::chrono::nanoseconds Get_latency() const override;
    statistics_t Get_statistics() const override;
    std::size_t Get_buffered_amount() const override;
    std::uint32_t Get_generation() const noexcept override { return generation_.load(); }

    // connection_base; delivering thread
    [[nodiscard]] websocketpp::connection_hdl handle() const override;

    // runtime::consumer
    void set_aside(std::size_t messages, std::size_t bytes) override;

    // Lifecycle; loop thread
    void start();

    // For its links; loop thread
    [[nodiscard]] const options_t& options() const { return options_; }
    [[nodiscard]] const std::string& uri() const { return uri_; }
    [[nodiscard]] runtime::loop& loop() { return *loop_; }
    [[nodiscard]] bool wants_fragments() const;
    [[nodiscard]] std::size_t read_size() const;
    [[nodiscard]] bool has_been_open() const { return has_been_open_; }
    [[nodiscard]] bool is_being_replaced(const feed_link& link) const {
        return successor_ != nullptr && replaced_.lock().get() == &link;
    }
    /// Whether the consumer wants nothing more to be read until it says so.
    [[nodiscard]] bool is_full() const { return is_full_ || is_backlog_full(); }
    std::uint32_t next_generation() { return ++generations_; }
    [[nodiscard]] bool prepares() const { return options_.source && options_.source->Prepares(); }
    [[nodiscard]] bool judges() const { return options_.source && options_.source->Judges(); }
    /// `spent` of open_timeout user code has taken.
    error_ptr make_session(const attempt_t& attempt, std::chrono::milliseconds spent,
                           std::shared_ptr<feed_link> link, std::shared_ptr<session>& out);
    void prepare(unsigned attempt, std::function<void(error_ptr, attempt_t)> answer);
    void judge(const error_c& error, bool was_open, bool by_default,
               std::function<void(bool)> answer);
    /// A link's connection is there; told so that questions can be answered from it.
    void connecting(const std::shared_ptr<session>& one);
    /// A link is ready: told before any message of it is handed on.
    void ready(feed_link& link, unsigned attempts);
    /// A link that was ready has lost its connection.
    void lost(feed_link& link, const session& ended);
    void failed(const session* attempt, const error_c& error);
    /// A link makes no more connections.
    void ended(feed_link& link);
    /// The successor is ready, and holds what it receives until the old link's end.
    void succeeding();
    /// False if another one is being replaced.
    bool replace(feed_link& link);
    sink_c::verdict_e hand_on(incoming_t& incoming);
    sink_c::verdict_e hand_on_piece(const message_view_t& piece, std::string&& storage);
    void log(log_c::level_e level, const std::string& text);
    void rested();
    void room();
    void closing();

private:
    enum class phase_e { RUNNING, CLOSING, ENDED };
    struct loss_t {
        std::int64_t since_ns = 0;
        std::string reason;
    };
    /// How a connection that was open has ended.
    struct end_t {
        std::optional<close_frame_t> received;
        std::optional<close_frame_t> sent;
        bool received_first = false;
    };

    void emit(const event_t& event);
    [[nodiscard]] bool is_followed_by_successor(const session& ended,
                                                const close_frame_t& received) const;
    void retire_replaced();
    void tell_if_silent(const loss_t& loss);
    void emit_closed(std::uint32_t generation, const session& ended, bool is_replaced);
    void end();
    void run_user_code(std::function<void()> call);
    template <typename Call, typename Thrown>
    void call_user_code(Call&& call, Thrown&& thrown) noexcept;
    void update_status();
    [[nodiscard]] std::shared_ptr<session> current() const;
    [[nodiscard]] std::optional<end_t> last_end() const;
    [[nodiscard]] std::shared_ptr<session> heir() const;
    [[nodiscard]] std::vector<std::shared_ptr<session>> open_sessions() const;
    template <typename SendOne>
    error_ptr send_to_all(std::optional<std::chrono::nanoseconds> wait, SendOne&& send);
    error_ptr begin_closing(std::uint16_t code, std::string_view reason, bool is_failure);
    [[nodiscard]] error_ptr not_open() const;
    sink_c::verdict_e hand_to_listener(const message_view_t* messages, std::size_t count,
                                       bool in_block);
    sink_c::verdict_e noted(sink_c::verdict_e verdict, std::int64_t received_ns);
    void fail_for_full_queue(std::int64_t since_ns);

    const std::string uri_;  // as given, for attempts
    const std::shared_ptr<const tls_context_c> tls_;

    std::atomic<std::uint32_t> generation_{0};  // of the connection that was ready last
    std::atomic<std::uint64_t> duplicates_{0};

    // Loop thread
    std::vector<std::shared_ptr<feed_link>> links_;
    std::shared_ptr<feed_link> successor_;  // one of links_
    std::weak_ptr<feed_link> replaced_;     // by the successor
    bool retire_when_resumed_ = false;
    bool is_full_ = false;            // the sink has said PAUSE
    std::int64_t deaf_since_ns_ = 0;  // the sink has said FAIL, and some are not closed; else 0
    std::vector<event_t> unheard_;    // meanwhile
    std::uint32_t retired_for_ = 0;   // generation of the successor for which it was closed
    std::unique_ptr<first_arrivals> arrivals_;
    phase_e phase_ = phase_e::RUNNING;
    std::uint32_t generations_ = 0;
    bool has_been_open_ = false;
    bool sink_opened_ = false;
    std::optional<loss_t> loss_;  // while nothing is ready
    std::vector<message_view_t> firsts_;

    // For questions from other threads; guarded by state_mutex_
    std::vector<std::shared_ptr<session>> sessions_;  // those that are ready
    std::shared_ptr<session> latest_;                 // the one that was made last, or was open
    websocketpp::connection_hdl handle_;              // of the one that was ready last
    std::shared_ptr<session> heir_;                   // of a successor that holds what it receives
    std::optional<end_t> last_end_;                   // of the one that was ready last
    statistics_t retired_;                            // of connections that have ended
    std::uint64_t reconnects_ = 0;
    std::uint64_t failures_ = 0;  // of attempts
    std::optional<close_frame_t> closing_with_;
};

}  // namespace wspool::detail
