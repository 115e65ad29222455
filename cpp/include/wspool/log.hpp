#pragma once

#include <string>
#include <string_view>

#include "wspool/export.hpp"

namespace wspool {

/// Where a connection tells what a service wants to know. The texts hold no secrets.
class WSPOOL_API log_c {
public:
    enum class level_e {
        DEBUG,    ///< nothing so far
        INFO,     ///< a connection opened or closed; what was lost is tried again
        WARNING,  ///< something was lost, failed again and again, or is slow
        ERROR,    ///< given up
    };

    virtual ~log_c() = default;
    /// Whether a level is worth a call. Loop thread; must neither block nor run user code.
    [[nodiscard]] virtual bool Wants(level_e level) const noexcept = 0;
    /// Called as a callback is, so it may take its time. `topic` is a word for the part it is
    /// about.
    virtual void Write(level_e level, std::string_view topic, const std::string& text) = 0;
};

}  // namespace wspool
