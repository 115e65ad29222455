#pragma once

#include <cstdint>
#include <string>

namespace wspool {

/// What happens to a feed besides messages, told in order with them: see `reconnect_t`.
struct event_t {
    enum class kind_e {
        OPENED,  ///< a connection is ready; messages of its generation follow
        GAP,     ///< what was sent between two moments may be missing; OPENED follows
        CLOSED,  ///< a connection that was open has ended
    };
    kind_e kind = kind_e::OPENED;
    std::uint32_t generation = 0;  ///< of the connection; of GAP that which follows
    /// Unix time in nanoseconds: when it was ready or had ended; of GAP its end.
    std::int64_t time_ns = 0;
    /// GAP: when the last bytes of the lost connection came. What was on its way at that moment may
    /// be missing as well.
    std::int64_t since_ns = 0;
    unsigned attempt = 0;    ///< OPENED and GAP: attempts it took, from 1
    std::uint16_t code = 0;  ///< CLOSED: the peer's close code, 1006 without
    std::string reason;      ///< CLOSED: why it ended; GAP: the same
};

}  // namespace wspool
