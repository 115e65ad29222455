#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "wspool/options.hpp"

namespace wspool::fuzz {

/// A connection, as an input of the fuzzer spells it out: what the client wants, what the server
/// sends, and how it is cut on its way.
///
/// The input is read byte by byte; behind its end there are zeros. First come, a byte each:
///
///     how          1 raw answer, 2 deflate is offered, 4 fragments are asked for, 8 and 16 the
///                  server's and the client's no_context_takeover are offered, 32 memory is
///                  counted, 64 subprotocols are offered, 128 frames by recipe
///     windows      the window bits that are offered: the server's (8 to 15) in the lower half, the
///                  client's (9 to 15) in the upper
///     max_size     two bytes, the lower first; from FF00 on, 4,096 times the lower
///     cuts         how many bytes follow (0 to 15) that say how long the pieces are, in turns;
///                  none: all comes at once
///
/// Then, unless the answer is raw:
///
///     answer       1 an extension, 2 and 4 the server's and the client's no_context_takeover, 8
///                  and 16 their window bits, 32 a subprotocol, 64 an interim answer in front, 128
///                  what has been offered is left aside, be it wrong
///     windows      that are answered
///     edits        how many (0 to 7) changes of the answer's text follow: where, what, which byte
///
/// What is left are the answer, if it is raw, and the frames: as they are, or recipes for them (see
/// `recipe` in the source), by which a few bytes make long frames, and deflated ones.
struct connection_script {
    options_t options;
    bool fragments = false;
    bool counts_memory = false;
    std::string bytes;
    std::vector<std::size_t> pieces;  ///< lengths, in turns; none: all at once
};

/// RFC 6455's example: its key, and what the server must answer (section 1.3).
extern const std::string fixed_key;
extern const std::string fixed_accept;

connection_script read_script(const std::uint8_t* data, std::size_t size);

}  // namespace wspool::fuzz
