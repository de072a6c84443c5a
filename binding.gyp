# How the native addon is compiled: one Node-API binary that every Node.js from 20 on loads.
{
  'variables': {'bench%': 0},
  # What the benchmarks compare with; built only for them: node .setup/ensure.mjs roofline
  'conditions': [
    ['bench==1', {
      'targets': [
        {
          'target_name': 'roofline',
          'type': 'executable',
          'sources': ['bench/roofline.cc', 'native/store_paths.cc'],
          'cflags_cc!': ['-std=gnu++17', '-std=gnu++20'],
          'cflags_cc': ['-std=c++20', '-O3', '-Wall', '-Wextra', '-Werror'],
          'libraries': ['-lpthread'],
          'conditions': [
            ['target_arch=="x64"', {'cflags_cc': ['-march=x86-64']}],
            ['target_arch=="arm64"', {'cflags_cc': ['-march=armv8-a']}],
          ],
        },
      ],
    }],
  ],
  'targets': [
    {
      'target_name': 'vmemmap',
      'sources': [
        'native/addon.cc',
        'native/affinity.cc',
        'native/arguments.cc',
        'native/durability.cc',
        'native/file.cc',
        'native/futex.cc',
        'native/init_kernel.cc',
        'native/memory.cc',
        'native/store_paths.cc',
      ],
      'defines': ['NAPI_VERSION=9'],
      # Node's own headers ask for the C++ of their release; ours is the same whichever Node builds it.
      'cflags_cc!': ['-std=gnu++17', '-std=gnu++20'],
      'cflags_cc': ['-std=c++20', '-O3', '-fno-exceptions', '-fno-rtti', '-fvisibility=hidden', '-Wall', '-Wextra', '-Werror'],
      # The C++ runtime travels along, so that one binary runs on distributions with an older one.
      'ldflags': ['-static-libstdc++', '-static-libgcc', '-Wl,--exclude-libs,ALL'],
      'conditions': [
        # The oldest processors of each kind; nothing here gains from newer instructions, the loops wait for memory.
        ['target_arch=="x64"', {'cflags_cc': ['-march=x86-64']}],
        ['target_arch=="arm64"', {'cflags_cc': ['-march=armv8-a']}],
      ],
    },
  ],
}
