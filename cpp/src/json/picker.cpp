#include "json/picker.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include <simdjson.h>

#include "json/digits.hpp"

namespace wspool::json {
namespace {

bool is_space(char c) noexcept { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

/// A stack of one bit each: whether it is an object or an array that is open there.
class nesting {
public:
    void push(bool is_object) noexcept {
        const std::uint64_t bit = std::uint64_t{1} << (size_ % 64);
        auto& word = words_[size_ / 64];
        word = is_object ? word | bit : word & ~bit;
        ++size_;
    }
    void pop() noexcept { --size_; }
    [[nodiscard]] bool is_empty() const noexcept { return size_ == 0; }
    [[nodiscard]] bool in_object() const noexcept {
        return ((words_[(size_ - 1) / 64] >> ((size_ - 1) % 64)) & 1U) != 0;
    }
    [[nodiscard]] unsigned size() const noexcept { return size_; }

private:
    std::array<std::uint64_t, max_depth / 64 + 1> words_;  // only what was pushed is read
    unsigned size_ = 0;
};

/// Of what large messages needed, this much is kept.
constexpr std::size_t most_kept_rows = 16 * 1024;
constexpr std::size_t largest = std::size_t{1} << 31U;  // slices count in 32 bits

}  // namespace

picker::picker(const plan& wanted)
    : plan_(wanted),
      layouts_(wanted),
      values_(wanted.slots()),
      row_sets_(wanted.rows().size()),
      shapes_(wanted.objects()) {}

void picker::reset() {
    std::fill(values_.begin(), values_.end(), slice());
    for (row_set& set : row_sets_) {
        if (set.values.capacity() > most_kept_rows) set.values = {};
        set.values.clear();
        set.count = 0;
        set.is_array = false;
    }
}

bool picker::pick(std::string_view text, bool is_utf8) {
    reset();
    if (text.size() >= largest) return false;
    if (layouts_.match(text, values_)) {
        structure_.set_plain(text);
        if (is_utf8 || simdjson::validate_utf8(text.data(), text.size())) return true;
        reset();
        return false;
    }
    if (!structure_.index(text, is_utf8)) return false;
    text_ = text.data();
    size_ = text.size();
    has_backslash_ = structure_.has_backslash();
    while (size_ != 0 && is_space(text_[size_ - 1])) --size_;
    std::size_t begin = 0;
    while (begin != size_ && is_space(text_[begin])) ++begin;
    if (begin == size_) return false;
    const char first = text_[begin];
    const char last = text_[size_ - 1];
    // All strings end before the text does. So where a bracket closes last, whoever has taken
    // anything else may look at the byte behind it without asking whether there is one.
    const bool is_container = (first == '{' && last == '}') || (first == '[' && last == ']');
    const bool can_be_scalar = first != '{' && first != '[';
    if (is_container || can_be_scalar) {
        const auto& root = plan_.node(0);
        const std::size_t end = structure_.is_compact()
                                    ? walk<true>(root, begin, 0, values_.data())
                                    : walk<false>(root, begin, 0, values_.data());
        if (end == size_) {
            layouts_.missed(text, values_);
            return true;
        }
    }
    reset();
    return false;
}

/// The first byte from here that is no white space.
template <bool compact>
inline std::size_t picker::token_at(std::size_t at) const noexcept {
    if constexpr (!compact)
        while (is_space(text_[at])) ++at;
    return at;
}

/// Behind the string that begins here; `failed` for an escape that is none.
inline std::size_t picker::skip_string(std::size_t begin) const noexcept {
    const std::size_t end = structure_.string_end(begin);
    if (has_backslash_ && !check_escapes({text_ + begin + 1, end - begin - 1})) return failed;
    return end + 1;
}

inline std::size_t picker::skip_scalar(std::size_t begin) const noexcept {
    if (text_[begin] == '"') return skip_string(begin);
    const char* const end = text_ + size_;
    const char* last = plain_integer_end(text_ + begin, end);
    if (last == nullptr) last = scalar_end(text_ + begin, end);
    return last == nullptr ? failed : static_cast<std::size_t>(last - text_);
}

template <bool compact>
inline std::size_t picker::skip(std::size_t begin, unsigned depth) {
    const char c = text_[begin];
    if (c != '{' && c != '[') return skip_scalar(begin);
    if (c == '[' && compact && !has_backslash_ && depth < array_skipper::most_around) {
        const char* const end = arrays_.skip(text_ + begin, text_ + size_);
        if (end != nullptr) return static_cast<std::size_t>(end - text_);
    }
    return skip_container<compact>(begin, depth);
}

/// Returns where the value ends.
template <bool compact>
std::size_t picker::walk(const plan::node_t& node, std::size_t begin, unsigned depth, slice* out) {
    const char c = text_[begin];
    std::size_t end = 0;
    if (c == '{' && !node.names.empty())
        end = walk_object<compact>(node, begin, depth, out);
    else if (c == '[' && (!node.indexes.empty() || node.rows != plan::none))
        end = walk_array<compact>(node, begin, depth, out);
    else
        end = skip<compact>(begin, depth);
    if (node.slot != plan::none && end != failed)
        out[index(node.slot)] = {text_ + begin, static_cast<std::uint32_t>(end - begin)};
    return end;
}

template <bool compact>
std::size_t picker::walk_object(const plan::node_t& node, std::size_t begin, unsigned depth,
                                slice* out) {
    if (depth == max_depth) return failed;
    std::size_t at = token_at<compact>(begin + 1);
    if (text_[at] == '}') return at + 1;
    std::uint64_t seen = 0;
    constexpr std::size_t most_seen = 64;
    shape& known = shapes_[node.object];
    for (std::size_t member = 0;; ++member) {
        if (text_[at] != '"') return failed;
        const char* const key = text_ + at + 1;
        std::size_t key_end = 0;
        std::size_t found = 0;
        int leaf = plan::none;
        const bool may_know = member < most_known && at + 2 + 2 * eight <= size_;
        if (may_know && is_same(known[member], key)) {
            key_end = at + 1 + known[member].size;
            found = known[member].found;
            leaf = known[member].leaf;
        } else {
            key_end = structure_.string_end(at);
            found = find(node, at + 1, key_end);
            if (found == failed) return failed;
            if (may_know) remember(known[member], at + 1, key_end, found, node);
        }
        at = token_at<compact>(key_end + 1);
        if (text_[at] != ':') return failed;
        at = token_at<compact>(at + 1);
        if (found == node.names.size()) {
            at = skip<compact>(at, depth + 1);
        } else {
            const plan::node_t& child = plan_.node(node.names[found].node);
            const std::uint64_t bit = std::uint64_t{1} << (found % most_seen);
            // Of equal names the last counts, and nothing is left of the one before.
            if ((seen & bit) != 0) forget(child, out);
            seen |= bit;
            if (leaf != plan::none) {
                const std::size_t begin_value = at;
                at = skip<compact>(at, depth + 1);
                out[index(leaf)] = {text_ + begin_value,
                                    static_cast<std::uint32_t>(at - begin_value)};
            } else {
                at = walk<compact>(child, at, depth + 1, out);
            }
        }
        if (at >= size_) return failed;
        at = token_at<compact>(at);
        const char c = text_[at++];
        if (c == '}') return at;
        if (c != ',') return failed;
        at = token_at<compact>(at);
    }
}

/// The key can be read sixteen bytes far.
inline bool picker::is_same(const known_key& known, const char* key) noexcept {
    return known.mask != 0 && (load_eight(key) & known.mask) == known.word &&
           (known.size < eight || load_eight(key + known.size + 1 - eight) == known.tail);
}

void picker::remember(known_key& key, std::size_t begin, std::size_t end, std::size_t found,
                      const plan::node_t& node) const {
    key.mask = 0;
    key.leaf = plan::none;
    if (found < node.names.size()) {
        const plan::node_t& child = plan_.node(node.names[found].node);
        const bool is_leaf = child.names.empty() && child.rows == plan::none;
        if (is_leaf) key.leaf = child.slot;
    }
    const std::size_t size = end - begin;
    constexpr std::size_t longest = 2 * eight - 1;
    if (size > longest || begin + 2 * eight > size_) return;
    const std::string_view text(text_ + begin, size);
    if (has_backslash_ && text.find('\\') != std::string_view::npos) return;
    key.size = static_cast<std::uint32_t>(size);
    key.found = static_cast<std::uint32_t>(found);
    std::array<char, eight> bits{};
    std::fill_n(bits.begin(), std::min<std::size_t>(size + 1, eight), '\xFF');
    key.mask = load_eight(bits.data());
    key.word = load_eight(text_ + begin) & key.mask;
    if (size >= eight) key.tail = load_eight(text_ + end + 1 - eight);
}

/// Which of the names is this one; their number for none, `failed` for a key that is no string.
std::size_t picker::find(const plan::node_t& node, std::size_t begin, std::size_t end) {
    std::string_view key(text_ + begin, end - begin);
    const auto& names = node.names;
    if (has_backslash_ && key.find('\\') != std::string_view::npos) {
        if (!check_escapes(key)) return failed;
        if (!unescape(key, unescaped_)) return names.size();
        key = unescaped_;
    }
    if (node.is_large) {
        const auto same = [&](const plan::name_t& name) { return name.name == key; };
        const auto known = std::find_if(names.begin(), names.end(), same);
        return static_cast<std::size_t>(known - names.begin());
    }
    const char first = key.empty() ? '\0' : key.front();
    std::size_t number = node.first[static_cast<unsigned char>(first)];
    if (number == 0) return names.size();
    // The key lies in the text, so that eight bytes from its beginning can be read unless it is
    // near the end, or was unescaped.
    std::uint64_t word = 0;
    const bool has_word = key.data() == text_ + begin && begin + sizeof word <= size_;
    if (has_word) std::memcpy(&word, text_ + begin, sizeof word);
    for (; number != 0; number = names[number - 1].next) {
        const auto& name = names[number - 1];
        const bool is_same =
            name.mask != 0 && has_word ? (word & name.mask) == name.word : name.name == key;
        if (is_same) return number - 1;
    }
    return names.size();
}

void picker::forget(const plan::node_t& node, slice* out) {
    if (node.slot != plan::none) out[index(node.slot)] = slice();
    if (node.rows != plan::none) {
        row_set& set = row_sets_[index(node.rows)];
        set.values.clear();
        set.count = 0;
        set.is_array = false;
    }
    for (const auto& child : node.names) forget(plan_.node(child.node), out);
}

template <bool compact>
std::size_t picker::walk_array(const plan::node_t& node, std::size_t begin, unsigned depth,
                               slice* out) {
    if (depth == max_depth) return failed;
    if (node.rows != plan::none) row_sets_[index(node.rows)].is_array = true;
    std::size_t at = token_at<compact>(begin + 1);
    if (text_[at] == ']') return at + 1;
    auto wanted = node.indexes.begin();
    for (std::size_t i = 0;; ++i) {
        std::size_t end = failed;
        if (node.rows != plan::none) end = walk_row<compact>(node.rows, at, depth + 1);
        if (wanted != node.indexes.end() && wanted->index == i) {
            end = walk<compact>(plan_.node(wanted->node), at, depth + 1, out);
            ++wanted;
        } else if (node.rows == plan::none) {
            end = skip<compact>(at, depth + 1);
        }
        if (end >= size_) return failed;
        at = token_at<compact>(end);
        const char c = text_[at++];
        if (c == ']') return at;
        if (c != ',') return failed;
        at = token_at<compact>(at);
    }
}

template <bool compact>
std::size_t picker::walk_row(int rows, std::size_t begin, unsigned depth) {
    row_set& set = row_sets_[index(rows)];
    const auto& wanted = plan_.rows()[index(rows)];
    const std::size_t before = set.values.size();
    set.values.resize(before + wanted.slots);
    ++set.count;
    return walk<compact>(plan_.node(wanted.node), begin, depth, set.values.data() + before);
}

/// Checks the grammar all the same. Every jump is to what may come next.
template <bool compact>
std::size_t picker::skip_container(std::size_t begin, unsigned depth) const noexcept {
    std::size_t at = begin;
    nesting open;
enter:
    if (depth + open.size() >= max_depth) return failed;
    open.push(text_[at] == '{');
    at = token_at<compact>(at + 1);
    if (text_[at] == (open.in_object() ? '}' : ']')) goto leave;
    if (!open.in_object()) goto value;
key:
    if (text_[at] != '"') return failed;
    at = skip_string(at);
    if (at == failed) return failed;
    at = token_at<compact>(at);
    if (text_[at] != ':') return failed;
    at = token_at<compact>(at + 1);
value:
    if (text_[at] == '{' || text_[at] == '[') goto enter;
    at = skip_scalar(at);
    if (at == failed) return failed;
next:
    at = token_at<compact>(at);
    if (text_[at] == ',') {
        at = token_at<compact>(at + 1);
        if (open.in_object()) goto key;
        goto value;
    }
    if (text_[at] != (open.in_object() ? '}' : ']')) return failed;
leave:
    ++at;
    open.pop();
    if (open.is_empty()) return at;
    if (at >= size_) return failed;
    goto next;
}

}  // namespace wspool::json
