#pragma once

/// The members of websocketpp's connection that wspool specialises for its config: explicit
/// specialisations, declared before anything could instantiate the stock ones.
///
/// - get_processor: wspool's frame processor, bound to the session (see frame_reader.hpp);
/// - read_frame, handle_read_frame: frames are parsed in the loop's read buffer, not in one
///   that every idle connection would pay for;
/// - send: safe from any thread, straight into the session's outbox;
/// - close, ping, pong: posted to the loop when called elsewhere; websocketpp's own would race.

#include <websocketpp/client.hpp>

#include "wspool/export.hpp"

namespace websocketpp {

#define WSPOOL_CONFIG ::wspool::detail::client_config

template <>
WSPOOL_API connection<WSPOOL_CONFIG>::processor_ptr connection<WSPOOL_CONFIG>::get_processor(
    int version) const;
template <>
WSPOOL_API void connection<WSPOOL_CONFIG>::read_frame();
template <>
WSPOOL_API void connection<WSPOOL_CONFIG>::handle_read_frame(lib::error_code const& error,
                                                             size_t count);
template <>
WSPOOL_API lib::error_code connection<WSPOOL_CONFIG>::send(std::string const& payload,
                                                           frame::opcode::value opcode);
template <>
WSPOOL_API lib::error_code connection<WSPOOL_CONFIG>::send(void const* payload, size_t size,
                                                           frame::opcode::value opcode);
template <>
WSPOOL_API lib::error_code connection<WSPOOL_CONFIG>::send(message_ptr message);
template <>
WSPOOL_API void connection<WSPOOL_CONFIG>::close(close::status::value const code,
                                                 std::string const& reason, lib::error_code& error);
template <>
WSPOOL_API void connection<WSPOOL_CONFIG>::ping(std::string const& payload, lib::error_code& error);
template <>
WSPOOL_API void connection<WSPOOL_CONFIG>::pong(std::string const& payload, lib::error_code& error);

extern template class connection<WSPOOL_CONFIG>;

#undef WSPOOL_CONFIG

}  // namespace websocketpp
