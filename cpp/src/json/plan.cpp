#include "json/plan.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace wspool::json {
namespace {

plan::name_t make_name(const std::string& name, std::size_t node) {
    plan::name_t made{name, node, 0, 0, 0};
    std::array<char, sizeof made.word> bytes{};
    if (name.size() >= bytes.size()) return made;
    std::memcpy(bytes.data(), name.data(), name.size());
    bytes[name.size()] = '"';
    std::memcpy(&made.word, bytes.data(), bytes.size());
    bytes.fill(0);
    std::memset(bytes.data(), 0xFF, name.size() + 1);
    std::memcpy(&made.mask, bytes.data(), bytes.size());
    return made;
}

/// Names that begin alike are chained.
void add_name(plan::node_t& node, plan::name_t name) {
    const std::size_t number = node.names.size() + 1;
    node.is_large = number > 255;
    if (!node.is_large) {
        // An empty name is looked up by a zero.
        auto& first = node.first[static_cast<unsigned char>(name.name.c_str()[0])];
        name.next = first;
        first = static_cast<std::uint8_t>(number);
    }
    node.names.push_back(std::move(name));
}

}  // namespace

plan::plan() : nodes_(1) {}

std::size_t plan::add_child(std::size_t parent, const json_pointer_c::step_t& step) {
    const std::size_t made = nodes_.size();
    nodes_.emplace_back();
    node_t& node = nodes_[parent];
    if (node.names.empty()) node.object = objects_++;
    add_name(node, make_name(step.name, made));
    if (step.index) {
        const auto behind = std::find_if(node.indexes.begin(), node.indexes.end(),
                                         [&](const index_t& i) { return i.index > *step.index; });
        node.indexes.insert(behind, {*step.index, made});
    }
    return made;
}

std::size_t plan::find_or_add(std::size_t from, const steps_t& steps) {
    for (const auto& step : steps) {
        const auto& names = nodes_[from].names;
        const auto known = std::find_if(names.begin(), names.end(),
                                        [&](const name_t& n) { return n.name == step.name; });
        from = known == names.end() ? add_child(from, step) : known->node;
    }
    return from;
}

int plan::slot_for(std::size_t number, std::size_t& slots) {
    node_t& node = nodes_[number];
    if (node.slot == none) node.slot = static_cast<int>(slots++);
    return node.slot;
}

bool plan::looks_into_arrays() const noexcept {
    const auto has_indexes = [](const node_t& node) { return !node.indexes.empty(); };
    return std::any_of(nodes_.begin(), nodes_.end(), has_indexes);
}

int plan::add_rows(const steps_t& steps) {
    const std::size_t number = find_or_add(0, steps);
    if (nodes_[number].rows == none) {
        nodes_[number].rows = static_cast<int>(rows_.size());
        rows_.push_back({nodes_.size()});
        nodes_.emplace_back();
    }
    return nodes_[number].rows;
}

int plan::add_in_row(int rows, const steps_t& steps) {
    auto& of = rows_[static_cast<std::size_t>(rows)];
    return slot_for(find_or_add(of.node, steps), of.slots);
}

}  // namespace wspool::json
