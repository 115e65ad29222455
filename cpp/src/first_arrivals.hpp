#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "wspool/json_finder.hpp"
#include "wspool/message_view.hpp"

namespace wspool::detail {

/// Tells the first arrival of a message from its copies, by the values that name it. Bounded: of
/// names, the last `most_known` are known, and one above `longest_name` bytes is none.
///
/// Thread safety: one thread at a time.
class first_arrivals {
public:
    static constexpr std::size_t most_known = 65'536;
    static constexpr std::size_t longest_name = 512;

    /// The pointers must be valid.
    explicit first_arrivals(const std::vector<std::string>& pointers);

    /// True for what has not come before, and for what has no name. Throws std::bad_alloc.
    bool is_first(const message_view_t& message);

private:
    std::vector<std::unique_ptr<json_finder_c>> finders_;
    std::string name_;  // of the message at hand
    // The exact names, not their hashes: a message must not be lost for a coincidence. The set
    // holds views of what the ring holds.
    std::vector<std::string> ring_;
    std::size_t next_ = 0;
    std::unordered_set<std::string_view> known_;
};

}  // namespace wspool::detail
