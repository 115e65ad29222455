/// The short form of fuzzing: the corpus, and changes of it that are the same in every run.
///
/// usage: wspool_fuzz_replay_TARGET CORPUS [MUTATIONS [SEED]]

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz_target.hpp"

namespace {

std::vector<std::string> read_corpus(const std::filesystem::path& folder) {
    std::vector<std::filesystem::path> paths;
    for (const auto& entry : std::filesystem::directory_iterator(folder))
        paths.push_back(entry.path());
    std::sort(paths.begin(), paths.end());
    std::vector<std::string> inputs;
    for (const auto& path : paths) {
        std::ifstream file(path, std::ios::binary);
        inputs.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    }
    return inputs;
}

std::string mutate(const std::vector<std::string>& inputs, std::mt19937& random) {
    const std::string_view spoiling = wspool::fuzz::spoiling;
    std::string text = inputs[random() % inputs.size()];
    for (auto changes = 1 + random() % 4; changes > 0 && !text.empty(); --changes) {
        const std::size_t at = random() % text.size();
        switch (random() % 6) {
            case 0:
                text.erase(at, 1 + random() % 3);
                break;
            case 1:
                text.insert(at, 1, spoiling[random() % spoiling.size()]);
                break;
            case 2:
                text[at] = spoiling[random() % spoiling.size()];
                break;
            case 3:
                text.resize(at);
                break;
            case 4:
                text.insert(at, text.substr(random() % text.size(), random() % 80));
                break;
            default: {
                const std::string& other = inputs[random() % inputs.size()];
                if (!other.empty()) text += other.substr(random() % other.size());
            }
        }
    }
    return text;
}

void check(const std::string& input) {
    wspool::fuzz::check(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) {
        std::fputs("usage: wspool_fuzz_replay_TARGET CORPUS [MUTATIONS [SEED]]\n", stderr);
        return 2;
    }
    const auto inputs = read_corpus(argv[1]);
    if (inputs.empty()) {
        std::fputs("the corpus is empty\n", stderr);
        return 2;
    }
    for (const auto& input : inputs) check(input);
    const long mutations = argc > 2 ? std::atol(argv[2]) : 0;
    std::mt19937 random(argc > 3 ? static_cast<unsigned>(std::atol(argv[3])) : 1U);
    for (long i = 0; i < mutations; ++i) check(mutate(inputs, random));
    std::printf("%zu inputs and %ld changed ones: no disagreement\n", inputs.size(), mutations);
}
