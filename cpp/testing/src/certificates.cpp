#include "wspool/testing/certificates.hpp"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <stdexcept>
#include <system_error>

#include "net.hpp"

#ifndef _WIN32
#include <fcntl.h>
#include <unistd.h>
#endif

namespace wspool::testing {
namespace {

struct x509_delete {
    void operator()(EVP_PKEY* key) const noexcept { EVP_PKEY_free(key); }
    void operator()(X509* certificate) const noexcept { X509_free(certificate); }
    void operator()(X509_EXTENSION* extension) const noexcept { X509_EXTENSION_free(extension); }
    void operator()(BIGNUM* number) const noexcept { BN_free(number); }
    void operator()(BIO* bio) const noexcept { BIO_free_all(bio); }
};
template <typename T>
using owned = std::unique_ptr<T, x509_delete>;

/// Thrown and caught within this file.
struct openssl_failure : std::runtime_error {
    explicit openssl_failure(const char* what) : std::runtime_error(what) {}
};

void require(bool succeeded, const char* what) {
    if (!succeeded) throw openssl_failure(what);
}

owned<EVP_PKEY> make_key() {
    owned<EVP_PKEY> key(EVP_EC_gen("P-256"));
    require(key != nullptr, "making a key");
    return key;
}

void add_extension(X509* certificate, X509* issuer, int id, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
    const owned<X509_EXTENSION> extension(
        X509V3_EXT_conf_nid(nullptr, &context, id, value.c_str()));
    require(extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1,
            "adding a certificate extension");
}

/// A certificate without extensions and signature.
owned<X509> make_certificate(const certificate_options_t& options, EVP_PKEY* key,
                             const std::string& name) {
    owned<X509> made(X509_new());
    const owned<BIGNUM> serial(BN_new());
    // 127 random bits: positive, as RFC 5280 section 4.1.2.2 asks, and never the same twice.
    require(made != nullptr && serial != nullptr &&
                BN_rand(serial.get(), 127, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
                BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(made.get())) != nullptr &&
                X509_set_version(made.get(), X509_VERSION_3) == 1 &&
                X509_gmtime_adj(X509_getm_notBefore(made.get()),
                                static_cast<long>(options.not_before.count())) != nullptr &&
                X509_gmtime_adj(X509_getm_notAfter(made.get()),
                                static_cast<long>(options.not_after.count())) != nullptr &&
                X509_set_pubkey(made.get(), key) == 1 &&
                X509_NAME_add_entry_by_txt(X509_get_subject_name(made.get()), "CN", MBSTRING_UTF8,
                                           reinterpret_cast<const unsigned char*>(name.c_str()), -1,
                                           -1, 0) == 1,
            "making a certificate");
    return made;
}

void sign(X509* certificate, const X509* issuer, EVP_PKEY* issuer_key) {
    require(X509_set_issuer_name(certificate, X509_get_subject_name(issuer)) == 1 &&
                X509_sign(certificate, issuer_key, EVP_sha256()) != 0,
            "signing a certificate");
}

std::string alternative_names(const std::vector<std::string>& hosts) {
    std::string names;
    for (const std::string& host : hosts) {
        std::error_code not_an_address;
        static_cast<void>(asio::ip::make_address(host, not_an_address));
        if (!names.empty()) names += ',';
        names += (not_an_address ? "DNS:" : "IP:") + host;
    }
    return names;
}

owned<BIO> create_file(const std::string& path, bool secret) {
#ifndef _WIN32
    const int mode = secret ? 0600 : 0644;
    const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    if (descriptor < 0) throw std::system_error(errno, std::generic_category(), path);
    owned<BIO> file(BIO_new_fd(descriptor, BIO_CLOSE));
#else
    static_cast<void>(secret);
    owned<BIO> file(BIO_new_file(path.c_str(), "w"));
#endif
    require(file != nullptr, "opening a file");
    return file;
}

void make(const certificate_options_t& options) {
    const auto ca_key = make_key();
    const auto ca = make_certificate(options, ca_key.get(), "wspool throw-away CA");
    add_extension(ca.get(), ca.get(), NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
    add_extension(ca.get(), ca.get(), NID_key_usage, "critical,keyCertSign,cRLSign");
    add_extension(ca.get(), ca.get(), NID_subject_key_identifier, "hash");
    sign(ca.get(), ca.get(), ca_key.get());

    const auto key = make_key();
    const auto leaf = make_certificate(options, key.get(), "wspool loopback server");
    add_extension(leaf.get(), ca.get(), NID_basic_constraints, "critical,CA:FALSE");
    add_extension(leaf.get(), ca.get(), NID_key_usage, "critical,digitalSignature");
    add_extension(leaf.get(), ca.get(), NID_ext_key_usage, "serverAuth");
    add_extension(leaf.get(), ca.get(), NID_subject_alt_name, alternative_names(options.hosts));
    add_extension(leaf.get(), ca.get(), NID_subject_key_identifier, "hash");
    add_extension(leaf.get(), ca.get(), NID_authority_key_identifier, "keyid:always");
    sign(leaf.get(), ca.get(), ca_key.get());

    const auto ca_out = create_file(options.directory + "/ca.pem", false);
    require(PEM_write_bio_X509(ca_out.get(), ca.get()) == 1, "writing ca.pem");
    const auto leaf_out = create_file(options.directory + "/cert.pem", false);
    require(PEM_write_bio_X509(leaf_out.get(), leaf.get()) == 1, "writing cert.pem");
    const auto key_out = create_file(options.directory + "/key.pem", true);
    require(PEM_write_bio_PrivateKey(key_out.get(), key.get(), nullptr, nullptr, 0, nullptr,
                                     nullptr) == 1,
            "writing key.pem");
}

}  // namespace

error_ptr Make_certificates(const certificate_options_t& options) {
    if (options.hosts.empty()) {
        return std::make_unique<const error_c>(error_e::INVALID_ARGUMENT,
                                               "hosts: at least one is needed");
    }
    ERR_clear_error();
    try {
        make(options);
        return nullptr;
    } catch (const std::system_error& error) {
        return std::make_unique<const error_c>(error_e::INVALID_ARGUMENT,
                                               std::string("directory: ") + error.what());
    } catch (const std::exception& error) {
        const char* reason = ERR_reason_error_string(ERR_get_error());
        ERR_clear_error();
        return std::make_unique<const error_c>(
            error_e::TLS, std::string(error.what()) + (reason != nullptr ? ": " : " failed") +
                              (reason != nullptr ? reason : ""));
    }
}

}  // namespace wspool::testing
