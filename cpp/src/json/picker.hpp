#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

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

    /// False if the text is not JSON; then nothing of it counts.
    bool pick(std::string_view text);

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
    static constexpr std::size_t failed = static_cast<std::size_t>(-1);

    static std::size_t index(int number) noexcept { return static_cast<std::size_t>(number); }
    [[nodiscard]] char at(std::size_t token) const noexcept { return text_[tokens_[token]]; }
    [[nodiscard]] bool is_scalar(std::size_t token) const noexcept;
    [[nodiscard]] slice slice_of(std::size_t token, std::size_t next) const noexcept;
    std::size_t walk(const plan::node_t& node, std::size_t token, unsigned depth, slice* out);
    std::size_t walk_object(const plan::node_t& node, std::size_t token, unsigned depth,
                            slice* out);
    std::size_t walk_array(const plan::node_t& node, std::size_t token, unsigned depth, slice* out);
    std::size_t walk_row(int rows, std::size_t token, unsigned depth);
    std::size_t skip(std::size_t token, unsigned depth) const noexcept;
    std::size_t skip_container(std::size_t token, unsigned depth) const noexcept;
    [[nodiscard]] std::size_t find(const plan::node_t& node, std::size_t token);
    void forget(const plan::node_t& node, slice* out);
    void reset();

    const plan& plan_;
    structure structure_;
    const char* text_ = nullptr;
    const std::uint32_t* tokens_ = nullptr;
    std::size_t count_ = 0;
    bool has_backslash_ = false;
    std::vector<slice> values_;
    std::vector<row_set> row_sets_;
    std::string unescaped_;
};

}  // namespace wspool::json
