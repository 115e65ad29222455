#pragma once

#include <memory>
#include <string>

#include "runtime/loop.hpp"
#include "wspool/log.hpp"

namespace wspool::detail {

/// Writes a line between two turns of the loop, as user code is called. Loop thread. `topic` lives
/// for ever.
inline void write_log(runtime::loop& loop, const std::shared_ptr<log_c>& log, log_c::level_e level,
                      const char* topic, std::string text) {
    if (!log || !log->Wants(level)) return;
    loop.turn().add([log, level, topic, text = std::move(text)] {
        try {
            log->Write(level, topic, text);
        } catch (...) {
            // A log that fails has nowhere to say so, and must not end the connection.
            return;
        }
    });
}

}  // namespace wspool::detail
