"use strict";

const docs = document.getElementById("docs");

window.ui = SwaggerUIBundle({
  url: docs.dataset.document,
  domNode: docs,
  deepLinking: true,
  validatorUrl: null, // nothing leaves the page
  requestInterceptor: (request) => {
    if (new URL(request.url, location.href).origin === location.origin) {
      request.headers[docs.dataset.csrfHeader] = docs.dataset.csrfToken;
    }
    return request;
  },
});
