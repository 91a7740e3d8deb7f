/* The file that the compile workload compiles: an expression language with a lexer, a parser, a constant folder, a stack machine,
   a hash table and a sort. Ordinary code with switches, recursion, structures, loops and string handling. */
#include <ctype.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum { T_END, T_NUM, T_NAME, T_PLUS, T_MINUS, T_STAR, T_SLASH, T_PERCENT, T_LPAR, T_RPAR, T_ASSIGN, T_LESS, T_EQUAL, T_QUESTION, T_COLON, T_COMMA, T_BAD } Kind;
typedef struct { Kind kind; double number; char name[24]; } Token;
typedef struct { const char *p; Token tok; int line; int errors; } Lexer;

static void next(Lexer *lx) {
  while (isspace((unsigned char)*lx->p)) if (*lx->p++ == '\n') lx->line++;
  Token *t = &lx->tok;
  const char c = *lx->p;
  if (c == 0) { t->kind = T_END; return; }
  if (isdigit((unsigned char)c) || c == '.') {
    char *end;
    t->kind = T_NUM;
    t->number = strtod(lx->p, &end);
    lx->p = end;
    return;
  }
  if (isalpha((unsigned char)c) || c == '_') {
    size_t n = 0;
    while ((isalnum((unsigned char)*lx->p) || *lx->p == '_') && n < sizeof t->name - 1) t->name[n++] = *lx->p++;
    t->name[n] = 0;
    t->kind = T_NAME;
    return;
  }
  lx->p++;
  switch (c) {
    case '+': t->kind = T_PLUS; break;
    case '-': t->kind = T_MINUS; break;
    case '*': t->kind = T_STAR; break;
    case '/': t->kind = T_SLASH; break;
    case '%': t->kind = T_PERCENT; break;
    case '(': t->kind = T_LPAR; break;
    case ')': t->kind = T_RPAR; break;
    case '<': t->kind = T_LESS; break;
    case '?': t->kind = T_QUESTION; break;
    case ':': t->kind = T_COLON; break;
    case ',': t->kind = T_COMMA; break;
    case '=': if (*lx->p == '=') { lx->p++; t->kind = T_EQUAL; } else t->kind = T_ASSIGN; break;
    default: t->kind = T_BAD; lx->errors++;
  }
}

typedef enum { N_NUM, N_VAR, N_NEG, N_ADD, N_SUB, N_MUL, N_DIV, N_MOD, N_LESS, N_EQ, N_COND, N_SET, N_CALL } Op;
typedef struct Node { Op op; double number; int slot; struct Node *a, *b, *c; } Node;

#define SLOTS 256
typedef struct { char name[24]; uint32_t hash; int used; double value; } Slot;
typedef struct { Slot slots[SLOTS]; int count; Node *pool; int nodes, limit; } World;

static uint32_t hash_name(const char *s) {
  uint32_t h = 2166136261u;
  for (; *s; s++) h = (h ^ (uint8_t)*s) * 16777619u;
  return h;
}

static int lookup(World *w, const char *name) {
  const uint32_t h = hash_name(name);
  for (uint32_t i = h & (SLOTS - 1), n = 0; n < SLOTS; i = (i + 1) & (SLOTS - 1), n++) {
    Slot *s = &w->slots[i];
    if (!s->used) {
      s->used = 1;
      s->hash = h;
      s->value = 0;
      strncpy(s->name, name, sizeof s->name - 1);
      w->count++;
      return (int)i;
    }
    if (s->hash == h && strcmp(s->name, name) == 0) return (int)i;
  }
  return -1;
}

static Node *make(World *w, Op op, Node *a, Node *b, Node *c) {
  if (w->nodes == w->limit) { fprintf(stderr, "out of nodes\n"); exit(1); }
  Node *n = &w->pool[w->nodes++];
  n->op = op; n->a = a; n->b = b; n->c = c; n->number = 0; n->slot = -1;
  return n;
}

static Node *parse(World *w, Lexer *lx);

static Node *primary(World *w, Lexer *lx) {
  Token t = lx->tok;
  next(lx);
  switch (t.kind) {
    case T_NUM: { Node *n = make(w, N_NUM, 0, 0, 0); n->number = t.number; return n; }
    case T_MINUS: return make(w, N_NEG, primary(w, lx), 0, 0);
    case T_LPAR: { Node *n = parse(w, lx); if (lx->tok.kind != T_RPAR) lx->errors++; else next(lx); return n; }
    case T_NAME: {
      const int slot = lookup(w, t.name);
      if (lx->tok.kind == T_LPAR) {
        next(lx);
        Node *n = make(w, N_CALL, parse(w, lx), 0, 0);
        n->slot = slot;
        if (lx->tok.kind == T_COMMA) { next(lx); n->b = parse(w, lx); }
        if (lx->tok.kind == T_RPAR) next(lx); else lx->errors++;
        return n;
      }
      if (lx->tok.kind == T_ASSIGN) {
        next(lx);
        Node *n = make(w, N_SET, parse(w, lx), 0, 0);
        n->slot = slot;
        return n;
      }
      Node *n = make(w, N_VAR, 0, 0, 0);
      n->slot = slot;
      return n;
    }
    default: lx->errors++; return make(w, N_NUM, 0, 0, 0);
  }
}

static Node *term(World *w, Lexer *lx) {
  Node *n = primary(w, lx);
  for (;;) switch (lx->tok.kind) {
    case T_STAR: next(lx); n = make(w, N_MUL, n, primary(w, lx), 0); break;
    case T_SLASH: next(lx); n = make(w, N_DIV, n, primary(w, lx), 0); break;
    case T_PERCENT: next(lx); n = make(w, N_MOD, n, primary(w, lx), 0); break;
    default: return n;
  }
}

static Node *sum(World *w, Lexer *lx) {
  Node *n = term(w, lx);
  for (;;) switch (lx->tok.kind) {
    case T_PLUS: next(lx); n = make(w, N_ADD, n, term(w, lx), 0); break;
    case T_MINUS: next(lx); n = make(w, N_SUB, n, term(w, lx), 0); break;
    default: return n;
  }
}

static Node *parse(World *w, Lexer *lx) {
  Node *n = sum(w, lx);
  if (lx->tok.kind == T_LESS) { next(lx); n = make(w, N_LESS, n, sum(w, lx), 0); }
  else if (lx->tok.kind == T_EQUAL) { next(lx); n = make(w, N_EQ, n, sum(w, lx), 0); }
  if (lx->tok.kind == T_QUESTION) {
    next(lx);
    Node *yes = parse(w, lx);
    if (lx->tok.kind == T_COLON) next(lx); else lx->errors++;
    n = make(w, N_COND, n, yes, parse(w, lx));
  }
  return n;
}

static double apply(Op op, double a, double b) {
  switch (op) {
    case N_ADD: return a + b;
    case N_SUB: return a - b;
    case N_MUL: return a * b;
    case N_DIV: return b != 0 ? a / b : 0;
    case N_MOD: return (int64_t)b != 0 ? (double)((int64_t)a % (int64_t)b) : 0;
    case N_LESS: return a < b;
    case N_EQ: return a == b;
    default: return 0;
  }
}

static Node *fold(Node *n) {
  if (!n) return n;
  n->a = fold(n->a); n->b = fold(n->b); n->c = fold(n->c);
  if (n->op >= N_ADD && n->op <= N_EQ && n->a->op == N_NUM && n->b->op == N_NUM) {
    n->number = apply(n->op, n->a->number, n->b->number);
    n->op = N_NUM;
  } else if (n->op == N_NEG && n->a->op == N_NUM) {
    n->number = -n->a->number;
    n->op = N_NUM;
  } else if (n->op == N_COND && n->a->op == N_NUM) {
    return n->a->number != 0 ? n->b : n->c;
  }
  return n;
}

typedef struct { uint8_t code[4096]; double constants[256]; int size, used; } Program;
enum { C_PUSH, C_LOAD, C_STORE, C_NEG, C_BIN, C_JZ, C_JMP, C_CALL, C_STOP };

static void emit(Program *p, int a, int b) { if (p->size < (int)sizeof p->code - 2) { p->code[p->size++] = (uint8_t)a; p->code[p->size++] = (uint8_t)b; } }

static void compile(Program *p, const Node *n) {
  switch (n->op) {
    case N_NUM: p->constants[p->used & 255] = n->number; emit(p, C_PUSH, p->used++ & 255); break;
    case N_VAR: emit(p, C_LOAD, n->slot); break;
    case N_SET: compile(p, n->a); emit(p, C_STORE, n->slot); break;
    case N_NEG: compile(p, n->a); emit(p, C_NEG, 0); break;
    case N_CALL: compile(p, n->a); if (n->b) compile(p, n->b); emit(p, C_CALL, n->b ? 2 : 1); break;
    case N_COND: {
      compile(p, n->a);
      const int j1 = p->size; emit(p, C_JZ, 0);
      compile(p, n->b);
      const int j2 = p->size; emit(p, C_JMP, 0);
      p->code[j1 + 1] = (uint8_t)(p->size - j1);
      compile(p, n->c);
      p->code[j2 + 1] = (uint8_t)(p->size - j2);
      break;
    }
    default: compile(p, n->a); compile(p, n->b); emit(p, C_BIN, n->op);
  }
}

static double execute(World *w, const Program *p) {
  double stack[64], *sp = stack;
  for (int pc = 0; pc < p->size;) {
    const int arg = p->code[pc + 1];
    switch (p->code[pc]) {
      case C_PUSH: *sp++ = p->constants[arg]; break;
      case C_LOAD: *sp++ = w->slots[arg].value; break;
      case C_STORE: w->slots[arg].value = sp[-1]; break;
      case C_NEG: sp[-1] = -sp[-1]; break;
      case C_BIN: sp--; sp[-1] = apply((Op)arg, sp[-1], sp[0]); break;
      case C_JZ: if (*--sp == 0) { pc += arg; continue; } break;
      case C_JMP: pc += arg; continue;
      case C_CALL: if (arg == 2) { sp--; sp[-1] = sp[-1] > sp[0] ? sp[-1] : sp[0]; } else sp[-1] = sp[-1] * sp[-1]; break;
      case C_STOP: return sp[-1];
    }
    pc += 2;
    if (sp < stack || sp > stack + 60) return 0;
  }
  return sp > stack ? sp[-1] : 0;
}

static void sort_slots(Slot **v, int n) {
  while (n > 12) {
    const double pivot = v[n / 2]->value;
    int i = 0, j = n - 1;
    while (i <= j) {
      while (v[i]->value < pivot) i++;
      while (pivot < v[j]->value) j--;
      if (i <= j) { Slot *t = v[i]; v[i++] = v[j]; v[j--] = t; }
    }
    sort_slots(v, j + 1);
    v += i; n -= i;
  }
  for (int i = 1; i < n; i++) {
    Slot *t = v[i];
    int j = i;
    for (; j > 0 && v[j - 1]->value > t->value; j--) v[j] = v[j - 1];
    v[j] = t;
  }
}

int main(int argc, char **argv) {
  static World world;
  static Program program;
  world.limit = 4096;
  world.pool = calloc((size_t)world.limit, sizeof(Node));
  Lexer lx = {.p = argc > 1 ? argv[1] : "total = 3 * (4 + x) % 7 < 5 ? max(a = 2, 8) : -1.5", .line = 1};
  next(&lx);
  Node *n = fold(parse(&world, &lx));
  compile(&program, n);
  const double value = execute(&world, &program);
  Slot *order[SLOTS];
  int count = 0;
  for (int i = 0; i < SLOTS; i++) if (world.slots[i].used) order[count++] = &world.slots[i];
  sort_slots(order, count);
  printf("%g %d %d\n", value, lx.errors, count);
  free(world.pool);
  return lx.errors != 0;
}
