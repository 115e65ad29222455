/// One connection: connect, send, receive the echo, close.
///
///     simple wss://localhost:8765
///
/// For wss:// the server's certificate is verified; SSL_CERT_FILE names a private CA.

#include <future>

#include <wspool/wspool.hpp>

#include "logger.hpp"

int main(int argc, char** argv) {
    logger_c logger;
    if (argc != 2) {
        logger.Log("usage: simple URI");
        return 2;
    }
    using namespace wspool;

    std::promise<std::string> echo;
    metadata_c::on_callbacks_t callbacks;
    callbacks.on_open = [&](metadata_c::client&, websocketpp::connection_hdl) {
        logger.Log("opened ", argv[1]);
    };
    callbacks.on_msg = [&](metadata_c::client&, websocketpp::connection_hdl,
                           metadata_c::client::message_ptr message,
                           simdjson::ondemand::parser&) { echo.set_value(message->get_payload()); };
    callbacks.on_close = [&](uint16_t code, std::string_view reason) {
        logger.Log("closed with code ", code, reason.empty() ? "" : ": ", reason);
    };
    callbacks.on_fail = [&](uint16_t /*http_status*/, std::string_view error) {
        logger.Log("failed: ", error);
    };

    endpoint_c& endpoint = endpoint_pool_c::Instance().Get_endpoint();
    std::future<metadata_c::status_e> opened;
    int id = 0;
    if (const auto error = endpoint.Create_new_connection(argv[1], opened, id, callbacks)) {
        logger.Log("cannot connect: ", error->Error_msg());
        return 1;
    }
    if (opened.get() != metadata_c::status_e::OPENED) {
        return 1;
    }
    if (const auto error = endpoint.Send_msg(id, "Hello, world!")) {
        logger.Log("cannot send: ", error->Error_msg());
        return 1;
    }
    auto received = echo.get_future();
    if (received.wait_for(std::chrono::seconds(10)) != std::future_status::ready) {
        logger.Log("no echo within 10 s");
        return 1;
    }
    logger.Log("received: ", received.get());
    endpoint.Close(id);
    const auto error = endpoint.Wait_for_closing_all(std::chrono::seconds(10));
    return error ? 1 : 0;
}
