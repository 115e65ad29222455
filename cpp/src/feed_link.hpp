#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include <asio.hpp>

#include "attempt_gate.hpp"
#include "wspool/options.hpp"
#include "wspool/record_picker.hpp"
#include "wspool/sink.hpp"

namespace wspool::detail {

class feed;
class session;

/// Tells whether all acknowledgements that are waited for have come. Loop thread.
class acknowledgements {
public:
    /// They must be valid: see `check`.
    explicit acknowledgements(const std::vector<acknowledgement_t>& wanted);
    /// The error names the option.
    static error_ptr check(const std::vector<acknowledgement_t>& wanted);

    void begin();
    void look_at(const message_view_t& message);
    [[nodiscard]] bool are_complete() const { return missing_ == 0; }

private:
    struct one_t {
        std::string contains;
        std::unique_ptr<record_picker_c> picker;  // null: no conditions
        bool has_come = false;
    };
    std::vector<one_t> wanted_;
    std::size_t missing_ = 0;
};

/// Makes one connection of a feed after the other, as `reconnect_t` says. The sink of them all.
///
/// Thread safety: loop thread only.
class feed_link final : public sink_c, public std::enable_shared_from_this<feed_link> {
public:
    /// A successor makes no haste: it asks the gate, and holds what it receives until
    /// `take_over`.
    feed_link(std::shared_ptr<feed> owner, bool is_successor);
    ~feed_link() override;

    void start();
    void close(std::uint16_t code, const std::string& reason, bool is_failure);
    void give_up();
    /// The successor is ready: closes, and makes no other connection.
    void retire();
    /// The old link has ended: hands on what was held back.
    void take_over();
    void pause_reading();
    void resume_reading();

    [[nodiscard]] bool is_ready() const { return state_ == state_e::READY; }
    [[nodiscard]] bool is_holding() const { return state_ == state_e::HOLDING; }
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
    void decide(const error_c& error, bool was_open, bool by_default);
    void again(const error_c& error);
    void finish();
    void subscribe();
    void become_ready();
    void hand_on_held();
    verdict_e hold(const message_view_t& message, std::string* storage);
    void settle_gate(attempt_gate::outcome_e outcome);
    void watch_proof();
    void watch_age();
    void honour_retry_after(const session& attempt);
    [[nodiscard]] std::int64_t next_delay();

    const std::shared_ptr<feed> feed_;
    const bool is_successor_;
    state_e state_ = state_e::WAITING;
    bool must_end_ = false;     // no other connection is made
    bool succeeded_ = false;    // or is no successor
    asio::steady_timer timer_;  // the delay, then the acknowledgements' deadline, then the age
    asio::steady_timer proof_;  // until the attempt counts as proven
    std::shared_ptr<session> session_;
    std::vector<outgoing_t> subscriptions_;
    acknowledgements acknowledgements_;
    std::deque<held_t> held_;
    std::size_t held_bytes_ = 0;
    std::uint32_t generation_ = 0;
    unsigned failures_ = 0;  // in a row
    unsigned attempts_ = 0;  // since it was ready
    std::int64_t began_ = 0;
    std::int64_t ready_at_ = 0;
    std::int64_t ready_ns_ = 0;
    unsigned ready_attempts_ = 0;
    std::string host_;      // at the gate
    bool at_gate_ = false;  // an attempt is not settled
    unsigned asked_ = 0;    // of user code; tells an answer that comes too late
};

}  // namespace wspool::detail
