#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <asio.hpp>

#include "connection_base.hpp"
#include "protocol/deflate.hpp"
#include "protocol/frame_reader.hpp"
#include "protocol/uri.hpp"
#include "runtime/loop.hpp"
#include "transport/byte_buffer.hpp"
#include "transport/connector.hpp"
#include "transport/proxy_handshake.hpp"
#include "transport/resolver.hpp"
#include "transport/stream.hpp"
#include "wspool/listener.hpp"
#include "wspool/metadata.hpp"
#include "wspool/options.hpp"
#include "wspool/sink.hpp"

namespace wspool::detail {

/// One connection: what metadata_c promises, the I/O behind websocketpp's transport policy, and
/// the sink of the frame reader.
///
/// Who owns what:
/// - the loop's thread: the stream, the frame reader, timers, websocketpp's connection;
/// - out_mutex_: the outbox, which senders append to;
/// - state_mutex_: what is kept for questions from other threads (error, close frames, answers);
/// - atomics: status, counters.
/// No lock is held while user code runs, and neither mutex is taken under the other.
///
/// The parts live in files of their own: session_api.cpp (any thread), session_io.cpp (reading
/// and writing), session_lifecycle.cpp (from connecting to the last callback),
/// session_proxy.cpp (the way through a proxy), session_redirect.cpp (from one attempt to open to
/// the next), session_keepalive.cpp (pings).
class session final : public connection_base, private protocol::message_sink {
public:
    using error_code = websocketpp::lib::error_code;
    using connection_ptr = client::connection_ptr;

    session(std::shared_ptr<endpoint_core> core, int id, protocol::uri_t uri, options_t options,
            std::shared_ptr<const tls_context_c> tls, consumer_t consumer);
    ~session() override;

    std::shared_ptr<session> self() {
        return std::static_pointer_cast<session>(shared_from_this());
    }

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
    std::uint32_t Get_generation() const noexcept override {
        const status_e status = status_.load();
        return status == status_e::CONNECTING || status == status_e::FAILED ? 0 : 1;
    }

    // runtime::consumer
    void set_aside(std::size_t messages, std::size_t bytes) override;

    // Lifecycle; loop thread
    void start();
    /// What the connection is called in a feed; before it is open.
    void set_generation(std::uint32_t generation) { reader_.set_generation(generation); }
    /// Stops reading until `Resume_reading`.
    void pause_reading();
    [[nodiscard]] bool is_paused() const { return paused_ && !resting_; }
    /// `Send` for what must go out before anything else can: write_bound does not hold it back.
    error_ptr send_beyond_bound(std::string_view message, bool is_text);
    /// Ends the connection, in whichever state it is, for a reason of our own.
    void give_up(const error_c& error);
    /// The sink has no room and wants no more.
    void fail_for_full_queue();

    // connection_base; delivering thread
    [[nodiscard]] websocketpp::connection_hdl handle() const override { return handle_; }
    [[nodiscard]] bool is_secure() const { return uri_.secure; }

    // The transport policy; loop thread
    void connect(websocketpp::transport::connect_handler handler);
    void read_some(char* buffer, std::size_t size, websocketpp::transport::read_handler handler);
    void read_frames(const websocketpp::transport::read_handler& handler);
    void write(const std::vector<websocketpp::transport::buffer>& buffers,
               websocketpp::transport::write_handler handler);
    void shut_down(websocketpp::transport::shutdown_handler handler);
    std::shared_ptr<transport_timer> set_timer(long milliseconds,
                                               websocketpp::transport::timer_handler handler);
    error_code dispatch(websocketpp::transport::dispatch_handler handler);

    // For the frame processor and websocketpp's specialised members; loop thread
    [[nodiscard]] protocol::frame_reader& reader() { return reader_; }
    /// Has the reader take frames; what it finds is handed out at the turn's end, if not before.
    std::size_t consume(const char* bytes, std::size_t size);
    /// The bytes that the latest call of the read handler is about; null: websocketpp's buffer.
    [[nodiscard]] const char* incoming() const { return incoming_; }
    void keep_rest(const char* bytes, std::size_t size);
    /// Hands out what was found in this turn, where that is not user code's.
    void hand_out() {
        if (sink_) hand_to_sink();
    }
    /// Has the read handler called again, with nothing, after this turn's delivery; false if
    /// there is nothing to deliver.
    bool defer_end(const websocketpp::transport::read_handler& handler);
    /// True once, in that call.
    bool take_deferred() { return std::exchange(end_deferred_, false); }
    std::string write_request();
    error_code check_response(const handshake_response& response);
    void record_received_close(std::string_view payload);
    /// Returns the payload to send, and closes the outbox to messages.
    std::string record_sent_close(std::uint16_t code, std::string_view reason);
    void record_failure(const protocol::failure& failure);
    [[nodiscard]] bool owns_loop() const { return loop_->owns(); }
    [[nodiscard]] bool closed_by_peer() const { return received_close_.has_value(); }
    [[nodiscard]] bool may_answer_ping() const;
    /// Whether the close frame that is sent next wants no answer.
    [[nodiscard]] bool fails() const { return fails_; }

private:
    using clock = std::chrono::steady_clock;

    // protocol::message_sink
    void on_joined(std::string_view payload, bool is_text) override;
    void on_joined(std::string&& payload, bool is_text) override;
    void on_fragment(std::string&& payload, bool is_text, bool first, bool final) override;

    // Lifecycle
    void open();
    void connected(error_ptr error, transport::stream::socket_t socket);
    void connect_to(const std::string& host, std::uint16_t port);
    void connected_to_server();
    bool opening_step(transport::stream::result_e result, void (session::*next)());
    void tls_step();
    void connect_done();
    void connect_failed(error_ptr error);
    void on_open();
    void on_fail();
    void on_close();
    void end(const error_c& error);  // gives up, in whichever state
    void finish();
    void announce_end();
    void set_error(const error_c& error);
    error_ptr not_open() const;
    void log(log_c::level_e level, std::string text) const;
    /// Without the query, which may hold secrets.
    [[nodiscard]] std::string log_name() const { return protocol::without_query(uri_text_); }

    // Proxies
    void connect_to_proxy();
    void begin_proxy();
    void tunnel_step();
    void begin_proxy_handshake();
    void proxy_step();

    // Redirects
    error_ptr note_redirect(const handshake_response& response);
    void leave_attempt();
    void restart();
    /// The options as far as they may go to where the present attempt leads.
    [[nodiscard]] const options_t& options_for_uri() const {
        return foreign_options_ ? *foreign_options_ : options_;
    }

    // I/O
    void wait_readable();
    void readable();
    void read_into_handshake();
    void begin_turn();
    void end_turn();
    [[nodiscard]] std::vector<message_view_t>& for_sink();
    /// `with_block`: the sink may take the read buffer over.
    void hand_to_sink(bool with_block = true);
    void hand_piece_to_sink(message_view_t piece, std::string&& storage);
    void take_verdict(sink_c::verdict_e verdict);
    void rest();
    void wait_rest();
    void fail_if_queue_full();
    [[nodiscard]] bool drops_messages() const;
    void fail_reading(const error_c* error);
    void request_flush();
    void flush();
    void flush_outbox();
    void fail_writing();
    void complete_writes();
    struct frame_t {
        protocol::opcode_e opcode;
        bool is_final = true;
        bool is_text = false;    ///< a fragment of a text message
        bool is_bounded = true;  ///< by write_bound
    };
    error_ptr send_whole(std::string_view message, bool is_text,
                         std::optional<std::chrono::nanoseconds> wait, bool is_bounded);
    error_ptr append_frame(const frame_t& frame, std::string_view payload,
                           std::optional<std::chrono::nanoseconds> wait);
    error_ptr begin_closing(std::uint16_t code, std::string_view reason, bool is_failure);
    error_ptr check_fragment(const frame_t& frame, std::string_view payload);
    bool write_directly();
    void write_frame(const frame_t& frame, std::string_view payload, std::uint32_t key);
    void update_addresses();
    void log_end() const;
    void drain();

    // Keepalive
    void start_keepalive();
    void arm_keepalive();
    void keepalive_due();
    void time_out(const char* reason);
    [[nodiscard]] std::chrono::milliseconds silence_bound() const;
    void watch_pause();
    void tell_slow_consumer(std::int64_t now);
    void go_on_reading();
    void forget_old_pings();
    bool on_ping();
    void on_pong(std::string_view payload);
    void answer_ping(on_pong_t call, std::optional<std::chrono::nanoseconds> took);
    void drop_pings();

    // Of the present attempt to open. Loop thread; constant from the first callback on.
    protocol::uri_t uri_;
    std::shared_ptr<const tls_context_c> tls_;
    std::string key_;
    websocketpp::connection_hdl handle_;
    unsigned redirects_ = 0;  // followed so far; tells a handler whether it is of this attempt
    std::unique_ptr<const options_t> foreign_options_;  // once away from the origin; else null

    // Loop thread
    std::optional<protocol::uri_t> redirect_;  // where the present attempt's answer leads
    connection_ptr connection_;
    std::shared_ptr<transport::connector> connector_;
    // Through a proxy only.
    transport::resolver::query proxy_query_;  // of the server's name, where we look it up
    std::string proxy_target_;                // the server, as the proxy is told
    std::unique_ptr<transport::proxy_handshake> proxy_handshake_;
    websocketpp::transport::connect_handler connect_handler_;
    transport::stream stream_;
    asio::steady_timer deadline_;  // of the opening, then of the end
    protocol::frame_reader reader_;
    websocketpp::transport::read_handler handshake_handler_;
    char* handshake_buffer_ = nullptr;
    std::size_t handshake_buffer_size_ = 0;
    const websocketpp::transport::read_handler* frame_handler_ = nullptr;
    const char* incoming_ = nullptr;
    std::string rest_;                // of a frame that is not complete, or:
    bool rest_is_ready_ = false;      // frames that are read before any more bytes
    runtime::batch* turn_ = nullptr;  // valid within readable()
    std::uint64_t received_count_ = 0;
    std::int64_t received_ns_ = 0;
    bool queue_failed_ = false;  // in this turn
    bool block_taken_ = false;   // the sink keeps this turn's read buffer
    bool waiting_readable_ = false;
    bool waiting_writable_ = false;
    bool paused_ = false;
    bool resting_ = false;  // paused, but not for long
    std::int64_t rest_until_ = 0;
    std::unique_ptr<asio::steady_timer> rest_timer_;  // null: not under way
    bool close_sent_ = false;  // our close frame: reading is not paused any more
    bool fails_ = false;
    bool end_deferred_ = false;
    bool ending_ = false;     // finish() has run
    bool lingering_ = false;  // reading only to see the end
    bool skip_linger_ = false;
    bool stream_ended_ = false;
    websocketpp::transport::shutdown_handler shutdown_handler_;
    struct pending_write {
        std::uint64_t until = 0;  // of all bytes ever put into the outbox
        websocketpp::transport::write_handler handler;
    };
    std::vector<pending_write> pending_writes_;
    error_ptr write_failure_;  // that the reading side is to tell, if it does not know better
    transport::byte_buffer writing_;  // taken from the outbox, not yet given to the stream

    // Keepalive; loop thread
    asio::steady_timer keepalive_timer_;
    std::int64_t last_received_ = 0;
    std::int64_t next_ping_ = 0;
    std::int64_t keepalive_due_ = 0;  // when the timer fires
    std::int64_t pong_deadline_ = 0;  // 0: none
    std::int64_t pinged_at_ = 0;
    std::int64_t last_data_ = 0;     // when the last message came, or reading went on
    std::int64_t paused_since_ = 0;  // 0: not paused for a consumer
    bool told_slow_ = false;         // of this pause

    // The outbox; guarded by out_mutex_
    struct ping_t {
        std::string payload;
        std::int64_t sent = 0;
        on_pong_t on_pong;
    };
    mutable std::mutex out_mutex_;
    std::vector<ping_t> pings_;
    std::unique_ptr<round_trips_t> round_trips_;  // null before the first
    std::condition_variable out_room_;
    transport::byte_buffer outbox_;
    std::uint64_t outbox_total_ = 0;
    std::size_t buffered_ = 0;  // accepted, not yet given to the system
    bool outbox_closed_ = true;
    int direct_socket_ = -1;        // of an open plain connection
    std::int64_t last_direct_ = 0;  // when a sender last tried to write by itself
    bool room_wanted_ = false;      // somebody was told that there is none
    bool sends_fragments_ = false;  // a message has begun and not ended
    protocol::utf8_validator fragments_utf8_;
    bool flush_requested_ = false;
    std::unique_ptr<protocol::deflater> deflater_;  // set once, when agreed

    // For questions from other threads; guarded by state_mutex_
    std::optional<close_frame_t> received_close_;
    std::optional<close_frame_t> sent_close_;
    std::optional<close_frame_t> closing_with_;  // asked for, on its way to the loop
    bool received_close_first_ = false;
    request_t request_;
    response_t response_;
    std::string subprotocol_;
    std::pair<std::string, std::uint16_t> local_address_;
    std::pair<std::string, std::uint16_t> remote_address_;

    std::atomic<std::int64_t> latency_ns_{0};
    std::atomic<std::uint64_t> messages_received_{0};
    std::atomic<std::uint64_t> payload_received_{0};
    std::atomic<std::int64_t> last_message_ns_{0};
    std::atomic<std::int64_t> last_received_ns_{0};
    std::atomic<std::uint64_t> bytes_received_{0};
    std::atomic<std::uint64_t> messages_sent_{0};
    std::atomic<std::uint64_t> bytes_sent_{0};  // by the loop's thread
    std::atomic<std::uint64_t> bytes_sent_directly_{0};
    std::atomic<std::uint64_t> pauses_{0};
};

}  // namespace wspool::detail
