#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "json/array_skipper.hpp"
#include "json/plan.hpp"
#include "json/token.hpp"

namespace wspool::json {

/// What stands between the values of a message. Feeds send the same message again and again with
/// other values: where all that is between them is the same, the message is JSON if the values are,
/// and nothing else has to be looked at.
///
/// Of messages of objects, strings without backslashes, numbers and words, and of arrays of which
/// nothing is wanted but all: these are passed over.
class layout {
public:
    /// Takes over the layout of a text that is JSON, and where in it the values of a plan stand.
    /// False, and it matches nothing, if it is of another kind, or has much between its values.
    /// `arrays`: null if what is in them may be wanted.
    bool learn(std::string_view text, const std::vector<slice>& values, array_skipper* arrays);
    /// Notes where the same values stand in another text. False, and none of them is noted, if it
    /// is laid out in another way or is no JSON. Nothing behind `text` is read.
    bool match(std::string_view text, slice* values, array_skipper* arrays) const;

private:
    enum class kind_e : std::uint8_t { scalar, string, array };
    static constexpr std::size_t sixteen = 16;
    struct step {
        std::array<char, sixteen> first{};  // bytes, as many as there are
        std::uint32_t mask = 0;             // a bit for each of them
        std::uint32_t size = 0;
        std::size_t begin = 0;
        int slot = plan::none;         // of the value behind it
        kind_e kind = kind_e::scalar;  // else the last byte is its quote or bracket
    };

    void add(std::string_view between, int slot, kind_e kind);
    bool walk(const char* at, const char* end, slice* values, array_skipper* arrays) const;
    [[nodiscard]] bool is_at_slowly(const step& next, const char* at,
                                    const char* end) const noexcept;

    std::string between_;
    std::vector<step> steps_;  // the last is what is behind the last value
};

/// The layouts of late: a few, since feeds mix kinds of messages. Learns less and less often, and
/// does not try while nothing fits. One thread at a time.
class layouts {
public:
    explicit layouts(bool may_pass_arrays) : may_pass_arrays_(may_pass_arrays) {}

    /// As `layout::match`. Before, no values must be noted, but those of the last match.
    bool match(std::string_view text, slice* values);
    /// After a text that matched nothing and turned out to be JSON, with these values.
    void missed(std::string_view text, const std::vector<slice>& values);

private:
    struct known {
        layout how;
        std::uint64_t hits = 0;
    };

    const bool may_pass_arrays_;
    array_skipper arrays_;
    std::vector<known> known_;
    std::size_t last_ = 0;         // that fitted; it is tried first
    unsigned misses_ = 0;          // in a row
    unsigned until_learning_ = 1;  // so many misses: what is used once need not learn
    unsigned next_wait_ = 1;
};

}  // namespace wspool::json
