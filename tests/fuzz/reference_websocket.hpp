#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace wspool::fuzz {

/// The client's side of a WebSocket, as a slow and simple reader sees it: RFC 6455, RFC 7692 and
/// as much of RFC 9112 as the server's answer needs. It has all bytes at once and looks at them one
/// by one. It shares no code with the core but zlib.
namespace slow {

/// What the client offers in its request, and how it wants to be told.
struct offer {
    std::string accept;  ///< the right Sec-WebSocket-Accept
    bool deflate = false;
    bool server_no_context_takeover = false;
    bool client_no_context_takeover = false;
    int server_max_window_bits = 15;
    int client_max_window_bits = 15;
    std::vector<std::string> subprotocols;
    std::size_t max_size = 0;
    bool fragments = false;  ///< a message in several frames is told frame by frame
};

struct event {
    enum class kind_e { MESSAGE, FRAGMENT, PING, PONG, CLOSE };

    kind_e kind = kind_e::MESSAGE;
    std::string payload;
    bool is_text = false;   // MESSAGE and FRAGMENT
    bool is_first = false;  // FRAGMENT
    bool is_final = false;  // FRAGMENT

    bool operator==(const event& other) const {
        return kind == other.kind && payload == other.payload && is_text == other.is_text &&
               is_first == other.is_first && is_final == other.is_final;
    }
};

/// How the opening handshake ended.
struct opening {
    enum class end_e {
        WAITING,  ///< the bytes end before the answer does
        BROKEN,   ///< not HTTP, or above a bound
        REFUSED,  ///< a whole answer that does not open the connection
        OPEN,
    };

    end_e end = end_e::WAITING;
    std::size_t size = 0;  ///< of an answer that opens: what is behind it are frames
    int status = 0;        ///< of REFUSED and OPEN, as are the fields
    std::vector<std::pair<std::string, std::string>> fields;
    std::string body;          ///< of REFUSED
    bool is_body_sure = true;  ///< false: RFC 9112 calls its framing an error

    // Of OPEN.
    std::string subprotocol;
    bool deflate = false;
    bool server_no_context_takeover = false;
    bool client_no_context_takeover = false;
    int server_max_window_bits = 15;
    int client_max_window_bits = 15;
};

opening read_answer(std::string_view bytes, const offer& offered);

/// What is in a stream of frames.
struct frames {
    std::vector<event> events;
    /// The close codes with which the connection may be failed; 0: not failed. More than one where
    /// the RFCs leave it open.
    std::vector<unsigned> verdicts;
};

/// With a window of `window_bits` (8 to 15): what refers further back is corrupt.
frames read_frames(std::string_view bytes, const offer& offered, const opening& opened,
                   int window_bits);

}  // namespace slow

}  // namespace wspool::fuzz
