#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "wspool/export.hpp"
#include "wspool/log.hpp"
#include "wspool/proxy.hpp"
#include "wspool/reconnect.hpp"

namespace wspool {

class tls_context_c;

/// What happens to a message for which the queue has no room.
enum class overflow_e {
    PAUSE,        ///< reading stops, so that TCP pushes back
    DROP_OLDEST,  ///< the message that has waited longest goes
    DROP_NEWEST,  ///< the message that came goes
    FAIL,         ///< the connection is closed with 1008 and error_e::QUEUE_FULL
};

/// The bound of what waits for a consumer.
struct queue_bound_t {
    std::size_t messages = 4096;           ///< messages waiting for the consumer
    std::size_t low_messages = 1024;       ///< reading goes on when so few are left
    std::size_t bytes = 16 * 1024 * 1024;  ///< and their payload in bytes; whichever comes first
    /// Of a `message_queue_c`. For a stalled listener it is always PAUSE.
    overflow_e overflow = overflow_e::PAUSE;
};

/// Compression of messages (permessage-deflate, RFC 7692). It is offered; the server decides.
struct deflate_options_t {
    bool enabled = true;
    int client_max_window_bits = 15;  ///< 9 to 15; of what we send
    int server_max_window_bits = 15;  ///< 8 to 15; below 15 the server must agree
    bool client_no_context_takeover = false;
    bool server_no_context_takeover = false;  ///< the server must agree
    int level = 1;                            ///< of zlib, 1 (fast) to 9 (small)
};

/// Settings of one connection. Copied when the connection is created.
/// A duration of zero switches that deadline off.
struct options_t {
    using milliseconds = std::chrono::milliseconds;

    /// Extra handshake headers, in order. Names must be RFC 9110 tokens, values free of CR, LF
    /// and NUL; names that the handshake itself sets are refused.
    std::vector<std::pair<std::string, std::string>> additional_headers;
    /// Value of User-Agent; empty sends none.
    std::string user_agent = "wspool";
    /// Value of Origin (RFC 6454); empty sends none.
    std::string origin;
    /// Offered subprotocols in order of preference (RFC 6455 section 1.9).
    std::vector<std::string> subprotocols;
    /// Messages below 64 bytes are sent uncompressed.
    deflate_options_t deflate;

    /// How many redirects of the opening handshake are followed (RFC 6455 section 4.1); with one
    /// more it fails with `error_e::SECURITY`. 0: none, a redirect fails as any refusal.
    unsigned max_redirects = 10;

    /// TLS settings for wss://; null takes the default trust, with verification.
    std::shared_ptr<const tls_context_c> tls;
    /// The default trust: PEM file and directory (see `tls_options_t`); both empty take the
    /// system's. A ws:// connection that is redirected to wss:// needs it as well.
    std::string default_ca_file;
    std::string default_ca_path;
    /// The name sent as SNI and checked in the certificate; empty takes the URI's host.
    std::string server_hostname;
    /// Local address to bind before connecting; empty leaves it to the system.
    std::string local_address;
    unsigned short local_port = 0;
    /// Path of a Unix socket to connect to instead of the URI's host and port; empty: TCP. The
    /// URI still says scheme, Host header and path.
    std::string unix_path;
    /// The proxy to go through. It must not be given with `unix_path`.
    proxy_t proxy;

    /// Reconnection; with any of the following set, the connection is a feed: a sequence of
    /// connections behind one handle.
    reconnect_t reconnect;
    /// Sent whenever a connection is open, before it counts as ready.
    std::vector<outgoing_t> subscriptions;
    /// What must come, in any order, before it counts as ready; within `open_timeout`. Messages
    /// are held back meanwhile, up to the queue's bound.
    std::vector<acknowledgement_t> match;
    /// A connection so old, or at random up to a tenth younger, is replaced: a successor is opened,
    /// and takes over once it is ready and the peer has closed the old one. Zero: never.
    milliseconds replace_after{0};
    /// The same feed over so many connections. More than one needs `dedup`.
    unsigned redundancy = 1;
    /// JSON Pointers (RFC 6901) to the values that together name a message: of those with the
    /// same, the first that arrives counts. One of the last 65,536 is known.
    std::vector<std::string> dedup;
    /// Whether the sink or listener wants to be told what happens, as of a feed.
    bool tells_events = false;
    /// User code that takes part; null: none.
    std::shared_ptr<attempt_source_c> source;

    /// Where the connection tells what happens to it; null: nowhere.
    std::shared_ptr<log_c> log;

    milliseconds open_timeout{10'000};   ///< user code, look-up, TCP, TLS and handshake together
    milliseconds close_timeout{10'000};  ///< for the peer's close frame and the TCP end
    milliseconds ping_interval{20'000};  ///< between keepalive pings
    milliseconds ping_timeout{20'000};   ///< without any byte from the peer after a ping
    /// Without a message from the peer, whatever pings say; the connection ends with 1011. Not
    /// while reading is paused.
    milliseconds idle_timeout{0};

    /// Largest message in bytes, after reassembly; larger ones fail the connection with 1009.
    std::size_t max_size = 1024 * 1024;
    /// Bound for messages that wait for a stalled consumer; reading pauses there.
    queue_bound_t queue;
    /// Bytes that may wait to be written. Above it `Send` waits for room, except on the
    /// endpoint's own thread, where it returns `error_e::BUFFER_FULL`.
    std::size_t write_bound = 64 * 1024 * 1024;
};

}  // namespace wspool
