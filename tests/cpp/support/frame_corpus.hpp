#pragma once

#include <string>
#include <vector>

#include "support/frames.hpp"

namespace wspool_test {

/// A stream of a server's bytes, and what a client must make of it.
struct frame_case_t {
    std::string name;
    std::string bytes;
    /// "T(...)" text, "B(...)" binary, "9(...)" a control frame of that opcode (hex), in order.
    /// Payloads above 40 bytes are shortened by `described`.
    std::string events;
    unsigned close_code = 0;  ///< of the failure; 0: none
    std::size_t max_size = 1 << 20;
    /// What websocketpp's own processor answers where that differs: its close code, or 0 for
    /// accepting, -1 for the same. Each difference is one that websocketpp-notes calls wrong.
    int stock = -1;
    const char* stock_reason = "";
};

/// A payload as the events show it.
std::string described(char kind, const std::string& payload);
const std::vector<frame_case_t>& frame_corpus();

}  // namespace wspool_test
