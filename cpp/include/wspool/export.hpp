#pragma once

/// WSPOOL_API marks what the shared library exports; everything else stays hidden.
#if defined(WSPOOL_STATIC)
#define WSPOOL_API
#elif defined(_WIN32)
#if defined(WSPOOL_BUILDING)
#define WSPOOL_API __declspec(dllexport)
#else
#define WSPOOL_API __declspec(dllimport)
#endif
#else
#define WSPOOL_API __attribute__((visibility("default")))
#endif
