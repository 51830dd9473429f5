/* libinstar: train Transformer models in stages, and see what they learn at each one.
 *
 * This is the whole public interface; the command `instar` is built on it and on nothing else.
 *
 * Conventions
 *   - A session holds threads, the cache's place, the callbacks and the messages of the last failure. One thread at a
 *     time may use a session; different sessions are independent.
 *   - Functions return a status; INSTAR_OK is 0. After any other, instar_error_count and instar_error_text give the
 *     messages, ready to print ("FILE:LINE:COL: error: ..."), until the next call on the session. Out-parameters are
 *     then untouched unless the function says so.
 *   - Text results are NUL-terminated, allocated by the library and freed by the caller with instar_free. Where a
 *     function takes an instar_format, INSTAR_TEXT is for people (lines that end in a newline)
 *     and INSTAR_JSON is one JSON document.
 *   - The library never prints, never exits and reads no environment variables.
 *   - NULL and 0 in option structs mean the default. Option structs grow at the end only.
 */
#ifndef INSTAR_INSTAR_H
#define INSTAR_INSTAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define INSTAR_API __attribute__((visibility("default")))

/* ---- statuses ---- */

typedef enum instar_status {
    INSTAR_OK,
    INSTAR_NO,          /* the answer to the question is no; not a failure */
    INSTAR_USAGE,       /* a wrong argument */
    INSTAR_RECIPE,      /* a wrong recipe */
    INSTAR_DATA,        /* a damaged or unsuitable data file */
    INSTAR_MODEL,       /* a damaged or unsuitable model file */
    INSTAR_IO,          /* the operating system refused to read or write */
    INSTAR_NOMEM,       /* out of memory */
    INSTAR_ENV,         /* something else about the machine: a missing program, an unusable folder */
    INSTAR_NUMERIC,     /* a number that is not finite */
    INSTAR_BUG,         /* an error of the library: please report it */
    INSTAR_INTERRUPTED, /* stopped through `stop`; the state is saved */
} instar_status;

/* Exit code of a program that ends with this status: 0 1 2 3 4 5 70 130. */
INSTAR_API int instar_exit_code(instar_status status);
INSTAR_API const char *instar_version(void); /* "0.1.0" */

/* ---- sessions ---- */

typedef struct instar instar;

typedef enum instar_level { INSTAR_DEBUG, INSTAR_INFO, INSTAR_WARN, INSTAR_ERROR } instar_level;

/* One state of a long step. total 0 = unknown; rate in `unit` a second, 0 = unknown; eta_s < 0 = unknown. */
typedef struct instar_progress {
    const char *what; /* name of the stage */
    const char *unit; /* "steps", "bytes" */
    double done, total, rate, eta_s;
    const char *detail; /* "loss 3.21  41k tok/s"; may be NULL */
} instar_progress;

typedef struct instar_settings {
    int threads;           /* 0 = all cores that the process may use */
    const char *cache_dir; /* required by calls on recipes; made when it does not exist */
    /* Called from the thread that uses the session; texts live until the callback returns. May be NULL. */
    void (*message)(void *arg, instar_level level, const char *text);
    void (*progress)(void *arg, const instar_progress *progress);
    void *arg;
    const volatile int *stop; /* long calls end soon with INSTAR_INTERRUPTED once this is not 0; may be NULL */
    /* Processes that an MPI launcher started together, which share the work of instar_run and instar_bench_train: how
     * many it says there are (0 or 1 = this one alone), and which of them this is. Each opens a session and makes the
     * same calls. Those but rank 0 are silent: no callbacks, no messages, no texts. threads 0 = a fair share. */
    int ranks, rank;
} instar_settings;

/* *out is always set, so that its messages can be read, unless memory ran out (then NULL). */
INSTAR_API instar_status instar_open(const instar_settings *settings, instar **out);
INSTAR_API void instar_close(instar *session); /* NULL is fine */

INSTAR_API int64_t instar_error_count(const instar *session);
INSTAR_API const char *instar_error_text(const instar *session, int64_t i); /* NULL out of range */
INSTAR_API void instar_free(void *text);                                    /* NULL is fine */

typedef enum instar_format { INSTAR_TEXT, INSTAR_JSON, INSTAR_CSV } instar_format; /* CSV: instar_metrics only */

/* ---- recipes ---- */

typedef struct instar_recipe {
    const char *path;        /* YAML file */
    const char *const *sets; /* "stages.base.budget=1M": value is YAML; later ones win */
    int64_t n_sets;
    bool has_seed; /* replaces the recipe's seed */
    uint64_t seed;
} instar_recipe;

/* Everything that is wrong with a recipe, at once. INSTAR_OK or the status of the first problem. text: a short summary
 * of a good recipe. */
INSTAR_API instar_status instar_check(instar *session, const instar_recipe *recipe, instar_format format, char **text);

/* Folder that a run of the recipe has by default: "runs/<name>". */
INSTAR_API instar_status instar_run_dir(instar *session, const instar_recipe *recipe, char **path);

typedef struct instar_run_options {
    const char *dir;     /* NULL = instar_run_dir */
    const char *only;    /* a stage, with what it needs; NULL = all */
    const char *command; /* recorded in run.json */
    bool no_report;      /* leave RUN/report.html as it is */
    bool no_tensorboard;
} instar_run_options;

/* Run what the cache does not have; evaluate claims; write the report, also of a run that failed. Calling it again goes
 * on after an interruption.
 * *text (set also on failure, when a run was begun; else NULL) says what was done; *all_shown whether every claim's
 * verdict is "shown". */
INSTAR_API instar_status instar_run(instar *session, const instar_recipe *recipe, const instar_run_options *options,
                                    instar_format format, char **text, bool *all_shown);

/* Memory, disk, time and FLOP of every stage, before anything runs. */
INSTAR_API instar_status instar_plan(instar *session, const instar_recipe *recipe, instar_format format, char **text);

/* Is a stage cached, and if not: which option, input or version made the difference? run_dir may be NULL. */
INSTAR_API instar_status instar_why(instar *session, const instar_recipe *recipe, const char *run_dir,
                                    const char *stage, instar_format format, char **text);

typedef struct instar_verify_options {
    const char *program; /* path of the instar binary, for child processes */
    const char
        *work_dir;     /* made, and removed unless files differ; needs room for two copies of the cache's new entries */
    const char *stage; /* NULL = one stage of each kind */
    int64_t kills;     /* per stage; 0 = 5 */
    uint64_t seed;
} instar_verify_options;
/* Kill stages at random moments, resume them, compare all files with an unbroken run. INSTAR_NO when they differ. */
INSTAR_API instar_status instar_verify_resume(instar *session, const instar_recipe *recipe,
                                              const instar_verify_options *options, instar_format format, char **text);

/* First batch of a train stage, tokens visible, those in the loss marked. colour: with terminal colours. Its inputs
 * must be in the cache. */
INSTAR_API instar_status instar_show_batch(instar *session, const instar_recipe *recipe, const char *stage,
                                           int64_t rows, bool colour, char **text);

/* A starter recipe, written to `path`. INSTAR_USAGE when the file exists. */
INSTAR_API instar_status instar_init(instar *session, const char *path);

/* JSON Schema of recipes, for editors. */
INSTAR_API instar_status instar_schema(instar *session, char **text);

/* ---- runs ---- */

/* Recorded metrics: stage, seed, step, tokens, name, value. name_glob and stage_glob may be NULL (all). */
INSTAR_API instar_status instar_metrics(instar *session, const char *run_dir, const char *name_glob,
                                        const char *stage_glob, instar_format format, char **text);

/* One picture of a run for a terminal of `width` columns: stages, curves, claims. *over = the run has ended. */
INSTAR_API instar_status instar_watch(instar *session, const char *run_dir, int width, bool colour, char **text,
                                      bool *over);

/* RUN/report.html, or `path`. *written = where. */
INSTAR_API instar_status instar_report(instar *session, const char *run_dir, const char *path, char **written);

/* ---- components ---- */

/* Families (family NULL), or the components of one. */
INSTAR_API instar_status instar_list(instar *session, const char *family, instar_format format, char **text);
/* Summary, paper and options of a component; of a whole family when name is NULL. */
INSTAR_API instar_status instar_help(instar *session, const char *family, const char *name, instar_format format,
                                     char **text);
/* Write the reference (Markdown, one file a family) into a folder. Files that do not change are not touched. */
INSTAR_API instar_status instar_docs(instar *session, const char *dir);

/* ---- machine ---- */

typedef struct instar_doctor_options {
    bool verify_cache; /* compare every file of the cache with its hash */
    bool no_speed;     /* leave out the measurements (they take about a second) */
} instar_doctor_options;
/* INSTAR_NO when something that a run needs is missing. */
INSTAR_API instar_status instar_doctor(instar *session, const instar_doctor_options *options, instar_format format,
                                       char **text);

typedef struct instar_bench_options {
    const char *model;     /* "gpt2", "llama"...; NULL = "gpt2" */
    const char *config;    /* shape of gpt2, "A" to "D"; NULL = "D" */
    const char *dtype;     /* of matrix products: "f32", "bf16" or "auto" (what trains faster here); NULL = "f32" */
    int64_t steps;         /* timed; 0 = 20 */
    int64_t rounds;        /* between which the machine is probed; 0 = 5 */
    const char *recompute; /* of activations: "none", "cheap" or "layers"; NULL = "none" */
    const char *gemm;      /* who makes matrix products: "own", "measured", "onednn" or "openblas"; NULL = "own" */
} instar_bench_options;
/* Training speed on a fixed configuration, against the bound of this machine, probed before, between and after the
 * rounds of steps. Warns (message callback) when the machine changed its speed meanwhile. */
INSTAR_API instar_status instar_bench_train(instar *session, const instar_bench_options *options, instar_format format,
                                            char **text);

/* Speed of every op against its own bound, at the shapes of a configuration: inside of its training step, and in a
 * graph of the ops that the step lacks. `steps` is the number of repetitions; 0 = 5. */
INSTAR_API instar_status instar_bench_kernels(instar *session, const instar_bench_options *options,
                                              instar_format format, char **text);

/* ---- models: a Hugging Face folder, a checkpoint folder, RUN:STAGE or RUN:STAGE@STEP ---- */

/* Folder that a model's name means. */
INSTAR_API instar_status instar_model_path(instar *session, const char *model, char **path);

typedef struct instar_generate_options {
    const char *prompt;        /* text; or */
    const char *ids;           /* JSON list of token ids */
    bool chat;                 /* put the prompt into the chat template */
    int64_t max_tokens;        /* 0 = 64 */
    bool greedy;               /* temperature 0 */
    double temperature;        /* 0 = 1 (see greedy) */
    double top_p;              /* 0 = off */
    int64_t top_k;             /* 0 = off */
    double min_p;              /* 0 = off */
    double repetition_penalty; /* 0 = off */
    uint64_t seed;
} instar_generate_options;
/* JSON: {"ids","text","logprobs","finish"}. */
INSTAR_API instar_status instar_generate(instar *session, const char *model, const instar_generate_options *options,
                                         instar_format format, char **text);

/* Logits of rows of ids (JSON [[...],[...]]), f32 [rows, longest, vocabulary] as a .npy file; zeros past a row's end.
 * npy NULL = none. loss (may be NULL) gets the mean next-token loss in nats. */
INSTAR_API instar_status instar_logits(instar *session, const char *model, const char *ids, const char *npy,
                                       double *loss);

/* Write the model as a Hugging Face folder; loaded again and its logits compared before success. */
INSTAR_API instar_status instar_export(instar *session, const char *model, const char *folder);

/* ---- tokenizers ---- */

typedef struct instar_tokenizer instar_tokenizer;
/* tokenizer.json, a folder that holds one, or a model as above. Lives no longer than the session. */
INSTAR_API instar_status instar_tokenizer_open(instar *session, const char *path, instar_tokenizer **out);
INSTAR_API void instar_tokenizer_close(instar_tokenizer *tokenizer);
/* One JSON string -> one JSON list of ids; special: recognise special tokens' texts. And back. */
INSTAR_API instar_status instar_tokenizer_encode(instar_tokenizer *tokenizer, const char *json_string, bool special,
                                                 char **json_ids);
INSTAR_API instar_status instar_tokenizer_decode(instar_tokenizer *tokenizer, const char *json_ids, bool keep_special,
                                                 char **json_string);
/* Train on text files (.gz and .zst too; .jsonl: their field "text") and save tokenizer.json. kind: see family
 * tokenizer. vocab 0 = the kind's default. */
INSTAR_API instar_status instar_tokenizer_train(instar *session, const char *kind, int64_t vocab,
                                                const char *const *files, int64_t n_files, const char *out_path);

/* ---- data: a corpus folder, a folder of token shards, a shard, or RUN:STAGE of such a stage ---- */

INSTAR_API instar_status instar_data_stats(instar *session, const char *path, instar_format format, char **text);
/* First documents of a split (JSON: an array). */
INSTAR_API instar_status instar_data_head(instar *session, const char *path, const char *split, int64_t n,
                                          instar_format format, char **text);

#ifdef __cplusplus
}
#endif

#endif
