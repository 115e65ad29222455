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

/// What stands between the values of messages. Feeds send the same few kinds of messages again and
/// again with other values: where all that is between them is as in one before, a message is JSON
/// if its values are, and nothing else has to be looked at.
///
/// A tree: from what begins the messages, over each value, to what comes behind it in any of them.
/// A value is a string without backslashes, a number, a word, or an array that can be passed over
/// where the plan wants no element by its number. The brackets of all others are between values, as
/// braces are. Where elements are rows nothing with an array is learned.
///
/// Learns less and less often, and does not try while nothing fits. One thread at a time.
class layouts {
public:
    /// The plan must outlive it.
    explicit layouts(const plan& wanted) : plan_(wanted) {}

    /// Notes where the values of the plan stand in a text; before, all are missing. False, and all
    /// are missing still, if it is laid out in another way than those before or is no JSON. Nothing
    /// behind `text` is read.
    bool match(std::string_view text, std::vector<slice>& values);
    /// After a text that matched nothing and turned out to be JSON, with these values.
    void missed(std::string_view text, const std::vector<slice>& values);

private:
    static constexpr int none = -1;
    static constexpr std::size_t sixteen = 16;
    enum class kind_e : std::uint8_t { scalar, string, array, end };
    /// A value, or the end of the text, and what comes before it.
    struct step {
        std::array<char, sixteen> first{};  // bytes, as many as there are
        std::uint32_t mask = 0;             // a bit for each of them
        std::uint32_t size = 0;
        std::size_t begin = 0;         // of all bytes, in between_
        int slot = plan::none;         // of the value
        kind_e kind = kind_e::scalar;  // of strings and arrays the last byte is quote or bracket
        int child = none;              // the first that comes behind the value
        int sibling = none;            // the next that may come here instead
    };
    struct seen {
        std::string_view between;
        int slot;
        kind_e kind;
    };

    bool read(std::string_view text, const std::vector<slice>& values, std::vector<seen>& steps);
    bool add(const std::vector<seen>& steps);
    int append(const seen& from);
    void forget_all();
    bool walk(const char* at, const char* end, slice* values);
    [[nodiscard]] bool is_at_slowly(const step& next, const char* at,
                                    const char* end) const noexcept;

    const plan& plan_;
    array_skipper arrays_;
    std::string between_;
    std::vector<step> steps_;
    int first_ = none;
    unsigned misses_ = 0;          // in a row
    unsigned until_learning_ = 1;  // so many misses: what is used once need not learn
    unsigned next_wait_ = 1;
};

}  // namespace wspool::json
