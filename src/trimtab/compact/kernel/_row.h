/* One row's numbers as Python has them, packed and changed one by one: included by _walk.c.
 *
 * For a row alone, a library of arrays takes longer to be called than to work. Each change is the arithmetic of
 * one number that NumPy does too, rounded as there; trimtab.compact.steps says what it means.
 */
enum { SUBTRACT, ADD, MULTIPLY, DIVIDE, FILL_NAN, CHANGES };

typedef struct {
    PyObject_HEAD
    Py_ssize_t width, steps;
    double *given; /* a number for each of the row's, of each step */
    unsigned char *changes;
} Row;

static void change(double *row, const double *given, Py_ssize_t width, unsigned char how)
{
    switch (how) {
    case SUBTRACT:
        for (Py_ssize_t i = 0; i < width; i++)
            row[i] -= given[i];
        break;
    case ADD:
        for (Py_ssize_t i = 0; i < width; i++)
            row[i] += given[i];
        break;
    case MULTIPLY:
        for (Py_ssize_t i = 0; i < width; i++)
            row[i] *= given[i];
        break;
    case DIVIDE:
        for (Py_ssize_t i = 0; i < width; i++)
            row[i] /= given[i];
        break;
    default:
        for (Py_ssize_t i = 0; i < width; i++)
            row[i] = isnan(row[i]) ? given[i] : row[i];
    }
}

/* Row(width, changes, given): `changes` has a byte a step, `given` its numbers as bytes. */
static PyObject *row_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    const char *changes, *given;
    Py_ssize_t width, steps, bytes;
    Row *self;
    (void)keywords;
    if (!PyArg_ParseTuple(arguments, "ny#y#", &width, &changes, &steps, &given, &bytes))
        return NULL;
    if (width < 1 || bytes % 8 || bytes / 8 % width || bytes / 8 / width != steps) {
        PyErr_SetString(PyExc_ValueError, "a step has another number of numbers than a row");
        return NULL;
    }
    for (Py_ssize_t step = 0; step < steps; step++)
        if ((unsigned char)changes[step] >= CHANGES) {
            PyErr_SetString(PyExc_ValueError, "a step changes numbers in no way that is known");
            return NULL;
        }
    if (!(self = (Row *)allocate(type, 0)))
        return NULL;
    self->width = width;
    self->steps = steps;
    if (!(self->given = malloc((size_t)bytes + (size_t)steps + 1))) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    self->changes = (unsigned char *)self->given + bytes;
    memcpy(self->given, given, (size_t)bytes);
    memcpy(self->changes, changes, (size_t)steps);
    return (PyObject *)self;
}

static void row_free(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    free(((Row *)object)->given);
    release(object);
    Py_DECREF(type);
}

static PyObject *row_call(PyObject *object, PyObject *values, PyObject *keywords)
{
    Row *self = (Row *)object;
    PyObject *packed;
    double *row;
    if (keywords || PyTuple_Size(values) != self->width) {
        PyErr_Format(PyExc_TypeError, "a row of %zd numbers is needed", self->width);
        return NULL;
    }
    if (!(packed = PyByteArray_FromStringAndSize(NULL, self->width * 8)))
        return NULL;
    row = (double *)PyByteArray_AsString(packed);
    for (Py_ssize_t i = 0; i < self->width; i++) {
        PyObject *value = PyTuple_GetItem(values, i);
        row[i] = value == Py_None ? (double)NAN : PyFloat_AsDouble(value);
        if (row[i] == -1.0 && PyErr_Occurred()) {
            Py_DECREF(packed);
            return NULL;
        }
    }
    for (Py_ssize_t step = 0; step < self->steps; step++)
        change(row, self->given + step * self->width, self->width, self->changes[step]);
    return packed;
}

static PyType_Slot row_slots[] = {
    {Py_tp_new, row_new},
    {Py_tp_dealloc, row_free},
    {Py_tp_call, row_call},
    {Py_tp_doc, "Packs a row's numbers, None as NaN, and changes them step by step."},
    {0, NULL},
};

static PyType_Spec row_spec = {
    "trimtab.compact.kernel._walk.Row", sizeof(Row), 0, Py_TPFLAGS_DEFAULT, row_slots,
};
