#pragma once

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "wspool/testing/certificates.hpp"
#include "wspool/testing/loopback_server.hpp"
#include "wspool/wspool.hpp"

namespace wspool_test {

using namespace std::chrono_literals;

/// A throw-away authority with a certificate, in a folder that goes with it.
class certificates {
public:
    explicit certificates(std::vector<std::string> hosts = {"localhost", "127.0.0.1"},
                          std::chrono::seconds not_after = 1h) {
        std::string name = (std::filesystem::temp_directory_path() / "wspool-XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
        folder_ = name;
        wspool::testing::certificate_options_t options;
        options.directory = name;
        options.hosts = std::move(hosts);
        options.not_before = -2h;
        options.not_after = not_after;
        if (const auto error = Make_certificates(options))
            throw std::runtime_error(error->Error_msg());
    }
    ~certificates() { std::filesystem::remove_all(folder_); }
    certificates(const certificates&) = delete;
    certificates& operator=(const certificates&) = delete;

    [[nodiscard]] std::string file(const char* name) const { return (folder_ / name).string(); }
    [[nodiscard]] wspool::options_t trusting(
        wspool::tls_version_e version = wspool::tls_version_e::TLS_1_2) const {
        wspool::tls_options_t tls;
        tls.ca_file = file("ca.pem");
        tls.min_version = version;
        wspool::error_ptr error;
        wspool::options_t options;
        options.tls = wspool::tls_context_c::Create(tls, error);
        if (error) throw std::runtime_error(error->Error_msg());
        return options;
    }

private:
    std::filesystem::path folder_;
};

/// Sends back what it gets, under TLS if it is given certificates.
inline std::unique_ptr<wspool::testing::loopback_server_c> echo_server(const certificates* files) {
    wspool::testing::loopback_options_t options;
    if (files != nullptr) {
        options.cert_file = files->file("cert.pem");
        options.key_file = files->file("key.pem");
    }
    wspool::error_ptr error;
    auto server = wspool::testing::loopback_server_c::Create(options, error);
    if (error) throw std::runtime_error(error->Error_msg());
    return server;
}

}  // namespace wspool_test
