// The roofline: how fast this machine can write descriptors at all. C++ threads, huge pages and the stores of the
// addon, without JavaScript, claims or anybody who could fault: what vmemmap is measured against.
//
//     roofline --bytes N --threads N [--pages huge|small|hugetlb] [--pattern device|ram] [--on-demand first|again]
//
// Prints the milliseconds of the first touch as one JSON object. On demand it does a round, and prints its
// milliseconds, for every line that it reads: a first touch of fresh memory, or the same memory again, by the better
// one of plain and non-temporal stores. Rounds of several programs can alternate then. A time begins before the threads
// are made and ends when they are joined.
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "../native/store_paths.h"

namespace {

using vmemmap::kDescriptorSizeBytes;
using vmemmap::Lanes;
using vmemmap::StoreKind;
using vmemmap::StorePath;

constexpr std::uint64_t kPieceBytes = std::uint64_t{2} << 20;
constexpr int kMadvPopulateWrite = 23;

struct Settings {
  std::uint64_t bytes = std::uint64_t{1} << 30;
  unsigned threads = 1;
  enum class Pages { kSmall, kHuge, kHugetlb } pages = Pages::kHuge;
  bool ram = false;
  enum class OnDemand { kNo, kFirst, kAgain } on_demand = OnDemand::kNo;
};

[[noreturn]] void fail(const std::string& text) {
  std::fprintf(stderr, "roofline: %s\n", text.c_str());
  std::exit(1);
}

Settings parse(int argc, char** argv) {
  Settings settings;
  if (argc % 2 == 0) fail("every option has a value");
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    const std::string_view value = argv[i + 1];
    const std::uint64_t number = std::strtoull(argv[i + 1], nullptr, 10);
    if (name == "--bytes") {
      settings.bytes = number;
    } else if (name == "--threads") {
      settings.threads = static_cast<unsigned>(number);
    } else if (name == "--pages") {
      using Pages = Settings::Pages;
      settings.pages = value == "huge" ? Pages::kHuge : value == "hugetlb" ? Pages::kHugetlb : Pages::kSmall;
    } else if (name == "--pattern") {
      settings.ram = value == "ram";
    } else if (name == "--on-demand") {
      using OnDemand = Settings::OnDemand;
      settings.on_demand = value == "first" ? OnDemand::kFirst : OnDemand::kAgain;
    } else {
      fail("unknown option " + std::string(name));
    }
  }
  if (settings.threads == 0 || settings.bytes == 0 || settings.bytes % kPieceBytes != 0) {
    fail("--threads and --bytes, a multiple of 2 MiB, must be above 0");
  }
  return settings;
}

// What all threads of one pass share.
struct Pass {
  std::byte* start;
  std::uint64_t pieces;
  // Relaxed is enough: it only shares out the work, and joining the threads orders what they wrote.
  std::atomic<std::uint64_t> next{0};
  const StorePath* path;
  Lanes lanes;
  Lanes step;
  bool populate;
};

struct Worker {
  Pass* pass;
  unsigned cpu;
};

void* work(void* argument) {
  const Worker& worker = *static_cast<Worker*>(argument);
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(worker.cpu, &cpus);
  sched_setaffinity(0, sizeof(cpus), &cpus);
  Pass& pass = *worker.pass;
  constexpr std::uint64_t piece_descriptors = kPieceBytes / kDescriptorSizeBytes;
  for (;;) {
    const std::uint64_t piece = pass.next.fetch_add(1, std::memory_order_relaxed);
    if (piece >= pass.pieces) return nullptr;
    Lanes lanes = pass.lanes;
    for (std::size_t lane = 0; lane < lanes.size(); lane++) lanes[lane] += pass.step[lane] * piece * piece_descriptors;
    std::byte* target = pass.start + piece * kPieceBytes;
    if (pass.populate) madvise(target, kPieceBytes, kMadvPopulateWrite);
    pass.path->fill(target, piece_descriptors, lanes, pass.step);
  }
}

double run(Pass& pass, const Settings& settings, const std::vector<unsigned>& cpus) {
  pass.next = 0;
  std::vector<pthread_t> threads(settings.threads);
  std::vector<Worker> workers(settings.threads);
  const auto start = std::chrono::steady_clock::now();
  for (unsigned i = 0; i < settings.threads; i++) {
    workers[i] = {&pass, cpus[i % cpus.size()]};
    if (pthread_create(&threads[i], nullptr, work, &workers[i]) != 0) fail("no thread");
  }
  for (pthread_t thread : threads) pthread_join(thread, nullptr);
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

std::vector<unsigned> allowed_cpus() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) != 0) fail("sched_getaffinity");
  std::vector<unsigned> cpus;
  for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  }
  return cpus;
}

std::byte* map(const Settings& settings) {
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS;
  if (settings.pages == Settings::Pages::kHugetlb) {
    void* memory = mmap(nullptr, settings.bytes, PROT_READ | PROT_WRITE, flags | MAP_HUGETLB, -1, 0);
    if (memory == MAP_FAILED) fail("mmap with MAP_HUGETLB: reserve pages in /proc/sys/vm/nr_hugepages");
    return static_cast<std::byte*>(memory);
  }
  void* memory = mmap(nullptr, settings.bytes + kPieceBytes, PROT_READ | PROT_WRITE, flags | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) fail("mmap");
  const auto address = (reinterpret_cast<std::uintptr_t>(memory) + kPieceBytes - 1) / kPieceBytes * kPieceBytes;
  auto* start = reinterpret_cast<std::byte*>(address);
  const bool huge = settings.pages == Settings::Pages::kHuge;
  madvise(start, settings.bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  return start;
}

void choose(Pass& pass, StoreKind kind) {
  const auto paths = vmemmap::store_paths();
  pass.path = &*std::find_if(paths.begin(), paths.end(), [&](const StorePath& path) { return path.kind == kind; });
}

// By plain stores, which are the best for it.
double first_touch(Pass& pass, const Settings& settings, const std::vector<unsigned>& cpus) {
  choose(pass, StoreKind::kPlain);
  pass.populate = settings.pages == Settings::Pages::kSmall;
  return run(pass, settings, cpus);
}

double again(Pass& pass, const Settings& settings, const std::vector<unsigned>& cpus) {
  pass.populate = false;
  double best = 1e300;
  for (const StoreKind kind : {StoreKind::kPlain, StoreKind::kNonTemporal}) {
    choose(pass, kind);
    best = std::min(best, run(pass, settings, cpus));
  }
  return best;
}

// A round for every line of standard input.
void serve(Pass& pass, const Settings& settings, const std::vector<unsigned>& cpus) {
  first_touch(pass, settings, cpus);
  for (int byte = std::getchar(); byte != EOF; byte = std::getchar()) {
    if (byte != '\n') continue;
    const bool is_first = settings.on_demand == Settings::OnDemand::kFirst;
    if (is_first) madvise(pass.start, settings.bytes, MADV_DONTNEED);
    std::printf("{\"ms\":%.3f}\n", is_first ? first_touch(pass, settings, cpus) : again(pass, settings, cpus));
    std::fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const Settings settings = parse(argc, argv);
  const std::vector<unsigned> cpus = allowed_cpus();
  // The template of a device page, or that of a page of RAM with its two self-pointers.
  Pass pass{.start = map(settings),
            .pieces = settings.bytes / kPieceBytes,
            .path = nullptr,
            .lanes = {0x6007ffffc0001000, 1, 0, 0, 0, 0, 0x1ffffffff, 0},
            .step = {},
            .populate = false};
  if (settings.ram) {
    pass.lanes = {0x17ffffc0000000, 8, 8, 0, 0, 0, 0x1ffffffff, 0};
    pass.step = {0, 64, 64};
  }
  if (settings.on_demand == Settings::OnDemand::kNo) {
    std::printf("{\"ms\":%.3f}\n", first_touch(pass, settings, cpus));
  } else {
    serve(pass, settings, cpus);
  }
  return 0;
}
