{
  "variables": {
    # compilers before gcc 11 do not know AVX-VNNI
    "avx_vnni%": "<!(node native/compiler-knows.mjs -mavxvnni)",
    "common_sources": ["native/addon.cpp", "native/cpu.cpp", "native/engine.cpp", "native/stream.cpp", "native/isa_portable.cpp"]
  },
  "target_defaults": {
    "defines": ["NAPI_VERSION=8", "NAPI_CPP_EXCEPTIONS", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"],
    "include_dirs": ["<!@(node -p \"require('node-addon-api').include_dir\")"],
    "cflags_cc!": ["-fno-exceptions", "-fno-rtti"],
    "cflags_cc": ["-std=gnu++17", "-O3", "-Wall", "-Wextra", "-Wno-psabi", "-fexceptions", "-ffp-contract=off", "-fvisibility=hidden", "-pthread"],
    "ldflags": ["-pthread"],
    "xcode_settings": {
      "GCC_ENABLE_CPP_EXCEPTIONS": "YES",
      "CLANG_CXX_LANGUAGE_STANDARD": "gnu++17",
      "OTHER_CPLUSPLUSFLAGS": ["-O3", "-ffp-contract=off"]
    }
  },
  "targets": [
    {
      "target_name": "spiking_yolo",
      "sources": ["<@(common_sources)"],
      "conditions": [
        ["target_arch=='x64'", { "sources": ["native/isa_sse2.cpp"], "dependencies": ["isa_avx2", "isa_avx512vnni"] }],
        ["target_arch=='x64' and avx_vnni==1", { "dependencies": ["isa_avxvnni"], "defines": ["SPIKING_AVX_VNNI"] }],
        ["target_arch=='arm64'", { "dependencies": ["isa_neon", "isa_neondot"] }]
      ]
    }
  ],
  "conditions": [
    ["target_arch=='x64'", {
      "targets": [
        { "target_name": "isa_avx2", "type": "static_library", "sources": ["native/isa_avx2.cpp"], "cflags_cc": ["-mavx2"] },
        {
          "target_name": "isa_avx512vnni",
          "type": "static_library",
          "sources": ["native/isa_avx512vnni.cpp"],
          "cflags_cc": ["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512vnni"]
        }
      ]
    }],
    ["target_arch=='x64' and avx_vnni==1", {
      "targets": [
        {
          "target_name": "isa_avxvnni",
          "type": "static_library",
          "sources": ["native/isa_avxvnni.cpp"],
          "defines": ["SPIKING_AVX_VNNI"],
          "cflags_cc": ["-mavx2", "-mavxvnni"]
        }
      ]
    }],
    ["target_arch=='arm64'", {
      "targets": [
        { "target_name": "isa_neon", "type": "static_library", "sources": ["native/isa_neon.cpp"] },
        {
          "target_name": "isa_neondot",
          "type": "static_library",
          "sources": ["native/isa_neondot.cpp"],
          "cflags_cc": ["-march=armv8.2-a+dotprod"]
        }
      ]
    }]
  ]
}
