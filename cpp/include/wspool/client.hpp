#pragma once

/// The websocketpp client type that callbacks see, and how it is configured.
///
/// websocketpp leaves three doors open, and wspool goes through them: the config struct (message,
/// request and response types, random numbers, no logging, no locks), the transport policy
/// (wspool's own sockets and TLS), and the frame processor. See docs/architecture.md.

#include <websocketpp/close.hpp>
#include <websocketpp/common/connection_hdl.hpp>
#include <websocketpp/concurrency/none.hpp>
#include <websocketpp/config/core_client.hpp>
#include <websocketpp/logger/stub.hpp>

#include "wspool/detail/handshake_messages.hpp"
#include "wspool/detail/random_source.hpp"
#include "wspool/detail/transport.hpp"

namespace wspool::detail {

struct client_config : public websocketpp::config::core_client {
    using type = client_config;
    using concurrency_type = websocketpp::concurrency::none;  // one loop owns each connection
    using request_type = handshake_request;
    using response_type = handshake_response;
    using alog_type = websocketpp::log::stub;
    using elog_type = websocketpp::log::stub;
    using rng_type = random_source;
    using transport_type = transport_endpoint;

    static bool const enable_multithreading = false;
    // wspool keeps one deadline for the whole opening; websocketpp's own covers only a part.
    static const long timeout_open_handshake = 0;
    static const long timeout_pong = 0;
    // Only the handshake's answer passes through this buffer; frames are read through the loop's.
    static const std::size_t connection_read_buffer_size = 512;
    // Without bound here: the frame reader enforces options_t::max_size.
    static const std::size_t max_message_size = static_cast<std::size_t>(-1);
};

}  // namespace wspool::detail

#include <websocketpp/client.hpp>

#include "wspool/detail/connection.hpp"
