#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "json/array_skipper.hpp"
#include "json/layout.hpp"
#include "json/plan.hpp"
#include "json/structure.hpp"
#include "json/token.hpp"

namespace wspool::json {

/// Deeper documents count as no JSON; json.loads gives up near there, too.
constexpr unsigned max_depth = 1024;

/// Walks once, forward, over a whole document, checks that it is JSON (RFC 8259, and the NaN and
/// Infinity of json.loads), and notes where the values of a plan stand. Converts nothing.
///
/// What it notes is valid until the next call, as long as the text is. One thread at a time.
class picker {
public:
    /// The plan must outlive it.
    explicit picker(const plan& wanted);

    /// False if the text is not JSON; then nothing of it counts. `is_utf8`: that is known already.
    bool pick(std::string_view text, bool is_utf8);

    [[nodiscard]] const slice& value(int slot) const noexcept {
        return values_[static_cast<std::size_t>(slot)];
    }
    /// Whether there is an array where the rows are expected.
    [[nodiscard]] bool has_rows(int rows) const noexcept { return row_sets_[index(rows)].is_array; }
    [[nodiscard]] std::size_t row_count(int rows) const noexcept {
        return row_sets_[index(rows)].count;
    }
    /// The slots of a row.
    [[nodiscard]] const slice* row(int rows, std::size_t number) const noexcept {
        return row_sets_[index(rows)].values.data() + number * plan_.rows()[index(rows)].slots;
    }
    [[nodiscard]] const structure& source() const noexcept { return structure_; }

private:
    struct row_set {
        std::vector<slice> values;
        std::size_t count = 0;
        bool is_array = false;
    };
    /// A key where it stood in the object before, of up to 15 bytes: feeds send the same keys in
    /// the same order, so that it is compared before anything is looked up.
    struct known_key {
        std::uint64_t word = 0;  // the first eight bytes of the key with its quote
        std::uint64_t mask = 0;  // of them; 0: none is known
        std::uint64_t tail = 0;  // the last eight, of longer ones
        std::uint32_t size = 0;
        std::uint32_t found = 0;  // what `find` says
        int leaf = plan::none;    // the slot, where nothing else is wanted of the value
    };
    static constexpr std::size_t most_known = 24;
    using shape = std::array<known_key, most_known>;

    static constexpr std::size_t failed = static_cast<std::size_t>(-1);

    static std::size_t index(int number) noexcept { return static_cast<std::size_t>(number); }
    // Each once for texts without white space between tokens, and once for those with.
    template <bool compact>
    [[nodiscard]] std::size_t token_at(std::size_t at) const noexcept;
    template <bool compact>
    std::size_t walk(const plan::node_t& node, std::size_t begin, unsigned depth, slice* out);
    template <bool compact>
    std::size_t walk_object(const plan::node_t& node, std::size_t begin, unsigned depth,
                            slice* out);
    template <bool compact>
    std::size_t walk_array(const plan::node_t& node, std::size_t begin, unsigned depth, slice* out);
    template <bool compact>
    std::size_t walk_row(int rows, std::size_t begin, unsigned depth);
    template <bool compact>
    std::size_t skip(std::size_t begin, unsigned depth);
    template <bool compact>
    [[nodiscard]] std::size_t skip_container(std::size_t begin, unsigned depth) const noexcept;
    [[nodiscard]] std::size_t skip_string(std::size_t begin) const noexcept;
    [[nodiscard]] std::size_t skip_scalar(std::size_t begin) const noexcept;
    [[nodiscard]] std::size_t find(const plan::node_t& node, std::size_t begin, std::size_t end);
    [[nodiscard]] static bool is_same(const known_key& known, const char* key) noexcept;
    void remember(known_key& key, std::size_t begin, std::size_t end, std::size_t found,
                  const plan::node_t& node) const;
    void forget(const plan::node_t& node, slice* out);
    void reset();

    const plan& plan_;
    structure structure_;
    layouts layouts_;
    const char* text_ = nullptr;
    std::size_t size_ = 0;  // up to the last byte that is no white space
    bool has_backslash_ = false;
    std::vector<slice> values_;
    std::vector<row_set> row_sets_;
    std::vector<shape> shapes_;  // of each node with names
    std::string unescaped_;
    array_skipper arrays_;
};

}  // namespace wspool::json
