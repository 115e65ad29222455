#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <asio.hpp>

#include "acknowledgements.hpp"
#include "attempt_gate.hpp"
#include "runtime/loop.hpp"
#include "wspool/options.hpp"
#include "wspool/sink.hpp"

namespace wspool::detail {

class feed;
class session;

/// Makes one connection of a feed after the other, as `reconnect_t` says. The sink of them all.
///
/// Thread safety: loop thread only.
class feed_link final : public sink_c, public std::enable_shared_from_this<feed_link> {
public:
    /// With a predecessor it makes no haste: it asks the gate of the same host, and holds what it
    /// receives until `take_over`.
    explicit feed_link(std::shared_ptr<feed> owner, const feed_link* predecessor = nullptr);
    ~feed_link() override;

    void start();
    void close(std::uint16_t code, const std::string& reason, bool is_failure);
    void give_up();
    /// The successor is ready: closes, and makes no other connection.
    void retire();
    /// The old link has ended: hands on what was held back.
    void take_over();
    /// The sink has no room and wants no more, of no connection.
    void fail_for_full_queue();
    void pause_reading();
    void resume_reading();

    [[nodiscard]] bool is_ready() const { return state_ == state_e::READY; }
    [[nodiscard]] bool is_retired() const { return retired_; }
    /// Retired, and ended before all that it was sent had come.
    [[nodiscard]] bool is_cut() const { return is_cut_; }
    [[nodiscard]] bool is_holding() const { return state_ == state_e::HOLDING; }
    /// Whether what it makes ready comes after something that was.
    [[nodiscard]] bool is_again() const { return has_been_ready_ || is_successor_; }
    [[nodiscard]] std::uint32_t generation() const { return generation_; }
    /// Since when it is ready (Unix ns), and how many attempts that took.
    [[nodiscard]] std::int64_t ready_ns() const { return ready_ns_; }
    [[nodiscard]] unsigned ready_attempts() const { return ready_attempts_; }
    [[nodiscard]] const std::shared_ptr<session>& connection() const { return session_; }

    // sink_c
    [[nodiscard]] bool Wants_fragments() const noexcept override;
    [[nodiscard]] std::size_t Read_size() const noexcept override;
    void On_open(metadata_c& connection) noexcept override;
    verdict_e On_messages(incoming_t& incoming) noexcept override;
    verdict_e On_piece(const message_view_t& piece, std::string&& storage) noexcept override;
    void On_rested() noexcept override;
    void On_closing() noexcept override;
    void On_room() noexcept override;
    void On_end() noexcept override;

private:
    enum class state_e {
        WAITING,      // for the delay or for the gate
        PREPARING,    // for user code
        CONNECTING,   // session_ is not open
        SUBSCRIBING,  // it is open, acknowledgements are missing
        FAILING,      // they cannot be sent, or there is no room to wait; it is given up
        HOLDING,      // it is ready, its predecessor has not ended
        READY,
        ENDED,
    };
    struct held_t {
        std::string payload;
        message_view_t view;  // without payload
    };

    void wait(std::int64_t nanoseconds);
    void ask_gate();
    void prepare();
    void connect(const attempt_t& attempt);
    void attempt_failed(const error_c& error, const session* attempt);
    void watch_user_code(std::function<void(feed_link&)> is_late);
    void decide(const error_c& error, bool was_open, bool by_default);
    void decided(const error_c& error, bool try_again);
    void again(const error_c& error);
    void finish();
    void subscribe();
    void fail_attempt(const error_c& error);
    void become_ready();
    void go_live();
    void hand_on_held();
    verdict_e hold(const message_view_t& message, std::string* storage);
    [[nodiscard]] bool holds_enough() const;
    void cut(const char* why);
    verdict_e bounded(verdict_e verdict, std::size_t bytes);
    void settle_gate(attempt_gate::outcome_e outcome);
    void watch_proof();
    void watch_age(std::chrono::milliseconds after);
    void honour_retry_after(const session& attempt);
    [[nodiscard]] std::int64_t next_delay();

    const std::shared_ptr<feed> feed_;
    const bool is_successor_;
    state_e state_ = state_e::WAITING;
    bool must_end_ = false;   // no other connection is made
    bool retired_ = false;    // for a successor
    bool succeeded_ = false;  // or is no successor
    bool has_been_ready_ = false;
    bool is_cut_ = false;
    bool has_no_room_ = false;  // it ends for the sink's sake
    std::size_t surplus_ = 0;   // bytes that a retired connection brought and there was no room for
    // The delay, then the deadline of user code, then of the acknowledgements, then the age.
    asio::steady_timer timer_;
    asio::steady_timer proof_;  // until the attempt counts as proven
    std::shared_ptr<session> session_;
    std::vector<outgoing_t> subscriptions_;
    acknowledgements acknowledgements_;
    std::deque<held_t> held_;
    std::size_t held_bytes_ = 0;
    std::uint32_t generation_ = 0;
    unsigned failures_ = 0;  // in a row
    std::string host_;       // at the gate; where user code makes it, of the last attempt
    unsigned attempts_ = 0;  // since it was ready
    std::int64_t began_ = 0;
    std::int64_t ready_at_ = 0;
    std::int64_t down_since_ = runtime::steady_now();
    std::int64_t ready_ns_ = 0;
    unsigned ready_attempts_ = 0;
    enum class place_e { NONE, ASKED, UNDER_WAY } place_ = place_e::NONE;  // at the gate
    unsigned asked_ = 0;  // of user code; tells an answer that comes too late
};

}  // namespace wspool::detail
