#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "wspool/json_pointer.hpp"

namespace wspool::json {

/// What is wanted of a document: all pointers as one tree, so that one walk finds all values.
///
/// Values of the document have slots, numbered from 0; and each array of which every element is a
/// row has slots of its own, one set for each element. Built once, then only read, by any thread.
class plan {
public:
    using steps_t = std::vector<json_pointer_c::step_t>;
    static constexpr int none = -1;

    struct name_t {
        std::string name;
        std::size_t node;
        // The name and the quote behind it in eight bytes, where it is short enough; else 0.
        std::uint64_t word;
        std::uint64_t mask;
        std::uint8_t next = 0;  // with the same first byte, plus one; 0: none
    };
    struct index_t {
        std::size_t index;
        std::size_t node;
    };
    struct node_t {
        std::vector<name_t> names;
        /// By the first byte of a name: the first name that begins so, plus one. 0: none does.
        std::array<std::uint8_t, 256> first{};
        bool is_large = false;         ///< too many names for `first`
        std::vector<index_t> indexes;  // ascending
        int slot = none;
        int rows = none;
        std::size_t object = 0;  ///< number among the nodes with names
    };
    struct rows_t {
        std::size_t node;       ///< what is wanted of an element
        std::size_t slots = 0;  ///< of an element
    };

    plan();

    /// The slot for the value there; the same for the same pointer.
    int add(const steps_t& steps) { return slot_for(find_or_add(0, steps), slots_); }
    /// The number of the array of rows there.
    int add_rows(const steps_t& steps);
    /// The slot in each row for the value there, seen from the element.
    int add_in_row(int rows, const steps_t& steps);

    [[nodiscard]] const node_t& node(std::size_t number) const noexcept { return nodes_[number]; }
    /// How many nodes have names.
    [[nodiscard]] std::size_t objects() const noexcept { return objects_; }
    [[nodiscard]] std::size_t slots() const noexcept { return slots_; }
    /// Whether elements of arrays may be wanted, by their number.
    [[nodiscard]] bool looks_into_arrays() const noexcept;
    [[nodiscard]] const std::vector<rows_t>& rows() const noexcept { return rows_; }

private:
    std::size_t find_or_add(std::size_t from, const steps_t& steps);
    std::size_t add_child(std::size_t parent, const json_pointer_c::step_t& step);
    int slot_for(std::size_t number, std::size_t& slots);

    std::vector<node_t> nodes_;
    std::vector<rows_t> rows_;
    std::size_t slots_ = 0;
    std::size_t objects_ = 0;
};

}  // namespace wspool::json
