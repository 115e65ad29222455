// Uses the installed library as a program outside this repository would.
//
// usage: app [URI]   With a URI, sends one message there and waits for its echo.

#include <chrono>
#include <cstdio>
#include <future>
#include <string>

#include <wspool/wspool.hpp>

namespace {

using wspool::endpoint_c;
using wspool::endpoint_pool_c;
using wspool::metadata_c;

int fail(const std::string& what) {
    std::fprintf(stderr, "consumer: %s\n", what.c_str());
    return 1;
}

int check_errors(endpoint_c& endpoint) {
    std::future<metadata_c::status_e> future;
    int id = 0;
    auto error = endpoint.Create_new_connection("http://127.0.0.1", future, id);
    if (!error || error->Error_msg().empty()) {
        return fail("a URI that is no WebSocket URI was taken");
    }
    // Port 1 of loopback: refused.
    error = endpoint.Create_new_connection("ws://127.0.0.1:1/", future, id);
    if (error) {
        return fail(error->Error_msg());
    }
    if (future.wait_for(std::chrono::seconds(20)) != std::future_status::ready) {
        return fail("a refused port left the connection pending");
    }
    if (future.get() != metadata_c::status_e::FAILED) {
        return fail("a refused port did not fail");
    }
    return 0;
}

int echo(endpoint_c& endpoint, const std::string& uri) {
    auto received = std::make_shared<std::promise<std::string>>();
    auto answer = received->get_future();
    metadata_c::on_callbacks_t callbacks;
    callbacks.on_msg = [received](metadata_c::client&, websocketpp::connection_hdl,
                                  metadata_c::client::message_ptr message,
                                  simdjson::ondemand::parser&) {
        received->set_value(message->get_payload());
    };
    std::future<metadata_c::status_e> future;
    int id = 0;
    if (auto error = endpoint.Create_new_connection(uri, future, id, callbacks)) {
        return fail(error->Error_msg());
    }
    if (future.get() != metadata_c::status_e::OPENED) {
        return fail("did not open " + uri);
    }
    if (auto error = endpoint.Send_msg(id, "Hello from outside")) {
        return fail(error->Error_msg());
    }
    if (answer.wait_for(std::chrono::seconds(20)) != std::future_status::ready) {
        return fail("no echo");
    }
    const std::string text = answer.get();
    endpoint.Close(id);
    endpoint.Wait_for_closing_all();
    std::printf("echo: %s\n", text.c_str());
    return text == "Hello from outside" ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    auto& pool = endpoint_pool_c::Instance();
    std::printf("wspool %s, %zu endpoints\n", WSPOOL_VERSION, pool.Max_index() + 1);
    if (const int failed = check_errors(pool.Get_endpoint(0))) {
        return failed;
    }
    return argc > 1 ? echo(pool.Get_endpoint(), argv[1]) : 0;
}
